internal import CMicrokernels

/// Keys of a work item that make one score tile, and where they stand.
///
/// Keys are numbered as their query tile numbers them: by absolute position, or through a list of
/// pages, and then each key's position is given. Positions ascend within a tile.
struct KeyTile {
  /// The first key's number.
  let first: Int
  /// The number of keys.
  let count: Int
  /// The absolute positions of all columns; `nil` where the numbers are positions.
  ///
  /// Columns after the last key repeat its position.
  let positions: UnsafePointer<Int32>?

  /// The panels that hold the keys.
  var panels: Int { (count + Int(SWA_PANEL_TOKENS) - 1) / Int(SWA_PANEL_TOKENS) }
  /// The width of the score tile, whole panels.
  var width: Int { panels * Int(SWA_PANEL_TOKENS) }

  /// The keys that an item reads: all of them, or fewer where it ends among them; nil where it reads none.
  @inline(__always)
  func part(of item: WorkItem) -> KeyTile? {
    item.kvFirst <= first && first < item.kvEnd
      ? KeyTile(first: first, count: min(count, Int(item.kvEnd) - first), positions: positions)
      : nil
  }

  /// The absolute position of a key.
  @inline(__always)
  func position(_ key: Int) -> Int { positions.map { Int($0[key]) } ?? first + key }

  /// The positions from the first to the last key.
  var span: ClosedRange<Int> { position(0)...position(count - 1) }

  /// The columns of the keys that stand at positions `first ... last`; empty where there are none.
  @inline(__always)
  func columns(from first: Int, through last: Int) -> Range<Int> {
    guard let positions else {
      let low = min(max(first - self.first, 0), count)
      return low..<max(min(last + 1 - self.first, count), low)
    }
    let low = Self.count(positions, count, below: first)
    return low..<max(Self.count(positions, count, below: last + 1), low)
  }

  /// How many of the ascending positions are below a limit; most often all or none.
  private static func count(_ positions: UnsafePointer<Int32>, _ count: Int, below limit: Int)
    -> Int
  {
    if positions[0] >= limit { return 0 }
    if positions[count - 1] < limit { return count }
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if positions[middle] < limit { low = middle + 1 } else { high = middle }
    }
    return low
  }
}

extension Launch {
  /// A tile with the positions of its keys, where its numbers do not say them.
  @inline(__always)
  func placed(_ keys: KeyTile, _ work: HeadItem, _ scratch: Scratch) -> KeyTile {
    guard work.tile.hasPositions else { return keys }
    placeKeys(work, keys, scratch)
    return KeyTile(
      first: keys.first, count: keys.count, positions: UnsafePointer(scratch.keyPositions))
  }

  /// Notes where each key stands.
  private func placeKeys(_ work: HeadItem, _ keys: KeyTile, _ scratch: Scratch) {
    let pages = pagePositions + Int(work.tile.pages)
    var (page, place) = keys.first.quotientAndRemainder(dividingBy: geometry.pageSize)
    var key = 0
    while key < keys.count {
      let run = min(geometry.pageSize - place, keys.count - key)
      let position = pages[page] + Int32(place)
      for i in 0..<run { scratch.keyPositions[key + i] = position + Int32(i) }
      key += run
      (page, place) = (page + 1, 0)
    }
    let last = scratch.keyPositions[keys.count - 1]
    (scratch.keyPositions + keys.count).update(repeating: last, count: keys.width - keys.count)
  }
}
