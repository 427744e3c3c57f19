internal import CMicrokernels
internal import Glibc
internal import Tensors

/// A work item of one key/value head, with what follows from it.
struct HeadItem {
  let item: WorkItem
  let tile: QueryTile
  let span: RowSpan
  var head: Int

  var rows: Int { Int(tile.rowCount) }
}

/// Where one row of a query tile stands.
struct RowPlace: BitwiseCopyable {
  /// The row of the query and output matrices.
  var query: Int32
  /// The query head's number in its group.
  var member: Int32
  /// The query's absolute position; negative where its request has more queries than keys.
  var position: Int32
  /// The query's request.
  var request: Int32
  /// New tokens of the request.
  var queryLength: Int32
  /// Tokens of the request that have keys.
  var kvLength: Int32
  /// The positions of the first and the last key within the mask's bounds; the last may be before
  /// the first.
  var firstKey = 0
  var lastKey = 0
}

/// What the rows of a query tile range over.
struct RowSpan {
  var positions: ClosedRange<Int>
  var requests: ClosedRange<Int>
  var queryLengths: ClosedRange<Int>
  var kvLengths: ClosedRange<Int>
  /// The positions of the keys that lie within every row's bounds, from the first to the last.
  var firstKey: Int
  var lastKey: Int

  init(_ place: RowPlace) {
    positions = Int(place.position)...Int(place.position)
    requests = Int(place.request)...Int(place.request)
    queryLengths = Int(place.queryLength)...Int(place.queryLength)
    kvLengths = Int(place.kvLength)...Int(place.kvLength)
    firstKey = place.firstKey
    lastKey = place.lastKey
  }

  mutating func include(_ place: RowPlace) {
    positions = positions.including(Int(place.position))
    requests = requests.including(Int(place.request))
    queryLengths = queryLengths.including(Int(place.queryLength))
    kvLengths = kvLengths.including(Int(place.kvLength))
    firstKey = max(firstKey, place.firstKey)
    lastKey = min(lastKey, place.lastKey)
  }
}

extension ClosedRange<Int> {
  @inline(__always)
  fileprivate func including(_ x: Int) -> ClosedRange {
    Swift.min(lowerBound, x)...Swift.max(upperBound, x)
  }
}

/// One of the query tiles or heads that are worked on side by side, with the memory of its own.
struct Part {
  var work: HeadItem
  let scratch: Scratch
}

extension Launch {
  /// Executes the queues that fall to one thread.
  func attend(thread: Int) {
    let scratch = scratches[thread]
    for worker in stride(from: thread, to: workers, by: threads) {
      var next = Int(workerOffsets[worker])
      let end = Int(workerOffsets[worker + 1])
      while next < end {
        let first = next
        next = endOfCommonKeys(from: first, before: end)
        if next == first + 1 {
          attendHeads(of: items[first], scratch)
        } else {
          attendTiles(of: items + first, count: next - first, scratch)
        }
      }
    }
  }

  /// A work item's heads, several at a time where tiles are low: pages then are read from end to
  /// end, head after head, which memory likes best.
  private func attendHeads(of item: WorkItem, _ scratch: Scratch) {
    let tile = tiles[Int(item.tile)]
    let rows = Int(tile.rowCount)
    let span = placeRows(of: tile, scratch)
    let together = max(AttentionPlan.largestTile / max(rows, 1), 1)
    for first in stride(from: Int(item.firstHead), to: Int(item.headEnd), by: together) {
      let count = min(together, Int(item.headEnd) - first)
      for i in 0..<count {
        let work = HeadItem(item: item, tile: tile, span: span, head: first + i)
        (scratch.parts + i).initialize(to: Part(work: work, scratch: scratch.head(i, rows: rows)))
      }
      attend(UnsafeBufferPointer(start: scratch.parts, count: count))
    }
  }

  /// The query tiles of items that read the same keys, head after head: panels that are made of
  /// these are made once for all of them.
  private func attendTiles(of items: UnsafePointer<WorkItem>, count: Int, _ scratch: Scratch) {
    for i in 0..<count {
      let tile = tiles[Int(items[i].tile)]
      let own = scratch.tile(i)
      let span = placeRows(of: tile, own)
      let work = HeadItem(item: items[i], tile: tile, span: span, head: 0)
      (scratch.parts + i).initialize(to: Part(work: work, scratch: own))
    }
    for head in Int(items[0].firstHead)..<Int(items[0].headEnd) {
      for i in 0..<count { scratch.parts[i].work.head = head }
      attend(UnsafeBufferPointer(start: scratch.parts, count: count))
    }
  }

  /// The end of the items, from `first` on, whose tiles read the same keys and are worked on together.
  private func endOfCommonKeys(from first: Int, before end: Int) -> Int {
    var next = first + 1
    while next < min(first + tilesTogether, end), readSameKeys(items[first], items[next]) {
      next += 1
    }
    return next
  }

  /// Whether two items' tiles of keys are the same as far as both have them, and rows so many that they
  /// read them in one form.
  private func readSameKeys(_ a: WorkItem, _ b: WorkItem) -> Bool {
    let (x, y) = (tiles[Int(a.tile)], tiles[Int(b.tile)])
    let same =
      x.sharesPages(with: y) && a.firstHead == b.firstHead && a.headEnd == b.headEnd
      && (a.kvFirst - b.kvFirst) % Int32(AttentionWorkspace.tileKeys) == 0
    return same && a.kvFirst < b.kvEnd && b.kvFirst < a.kvEnd
      && min(x.rowCount, y.rowCount) >= Self.manyRows
      && (!functors.keysDependOnRequest || request(of: x) == request(of: y))
  }

  private func request(of tile: QueryTile) -> Int32 {
    rowRequests[Int(queryRows[Int(tile.firstQuery)])]
  }

  /// The paper's loop: query tiles, or heads of one, against their keys, tile after tile of these.
  private func attend(_ parts: UnsafeBufferPointer<Part>) {
    for part in parts {
      gatherQueries(part.work, part.scratch)
      prepareRows(part.work, part.scratch)
      resetState(part.work, part.scratch)
    }
    var (first, end) = (Int32.max, Int32.min)
    for part in parts {
      (first, end) = (min(first, part.work.item.kvFirst), max(end, part.work.item.kvEnd))
    }
    var tile = keyTile(from: Int(first), end: Int(end))
    while let numbered = tile {
      let keys = placed(numbered, parts[0].work, parts[0].scratch)
      tile = keyTile(from: keys.first + keys.count, end: Int(end))
      attend(parts, keys, following: tile)
    }
    for part in parts {
      if part.work.item.state < 0 {
        writeOutput(part.work, part.scratch)
      } else {
        leavePartialState(part.work, part.scratch)
      }
    }
  }

  /// All parts against one tile of keys; those of one head read the same panels.
  private func attend(
    _ parts: UnsafeBufferPointer<Part>, _ keys: KeyTile, following: KeyTile?
  ) {
    var visibility = TileVisibility.nothing
    var (seen, gathered): (Int32?, Int?) = (nil, nil)
    for (i, part) in parts.enumerated() {
      let (work, scratch) = (part.work, part.scratch)
      guard let own = keys.part(of: work.item) else { continue }
      if seen != work.item.tile {
        seen = work.item.tile
        visibility = findVisible(work, own, scratch)
      }
      if visibility == .nothing { continue }
      let coverage = coverage(work, own, scratch)
      if coverage == .empty { continue }
      let isFirst = gathered != work.head
      if isFirst {
        if gathered == nil { place(keys, of: work, following: following, scratch) }
        gathered = work.head
        let isOther = i + 1 < parts.count && parts[i + 1].work.head != work.head
        let next =
          isOther
          ? (head: parts[i + 1].work.head, keys: keys)
          : following.map { (head: parts[0].work.head, keys: $0) }
        gatherPanels(work, keys, next: next, scratch)
      }
      score(work, own, fetchesAhead: isFirst, scratch)
      applyVariant(coverage, visibility, work, own, scratch)
      if isFirst && functors.areOnPanels { transformValues(work, keys, scratch) }
      weighValues(work, own, of: keys, fetchesAhead: isFirst, scratch)
    }
  }

  /// What a tile of keys has once for all heads.
  private func place(_ keys: KeyTile, of work: HeadItem, following: KeyTile?, _ scratch: Scratch) {
    if readsRows(work.rows) { listTokens(work, keys, next: following, scratch) }
    if let turn = functors.turn, !turn.dependsOnHead { placeTurns(work, keys, scratch) }
  }

  /// The tile of keys that begins at `first`; nil at the end of the chunk.
  @inline(__always)
  private func keyTile(from first: Int, end: Int) -> KeyTile? {
    first < end
      ? KeyTile(
        first: first, count: min(AttentionWorkspace.tileKeys, end - first), positions: nil)
      : nil
  }
}
