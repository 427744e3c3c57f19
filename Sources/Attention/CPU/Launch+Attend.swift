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

extension Launch {
  /// Executes the queues that fall to one thread.
  func attend(thread: Int) {
    let scratch = scratches[thread]
    for worker in stride(from: thread, to: workers, by: threads) {
      for i in Int(workerOffsets[worker])..<Int(workerOffsets[worker + 1]) {
        attend(items[i], scratch)
      }
    }
  }

  /// A work item's heads, several at a time where tiles are low: pages then are read from end to
  /// end, head after head, which memory likes best.
  private func attend(_ item: WorkItem, _ scratch: Scratch) {
    let tile = tiles[Int(item.tile)]
    let span = placeRows(of: tile, scratch)
    let together = max(AttentionPlan.largestTile / max(Int(tile.rowCount), 1), 1)
    for first in stride(from: Int(item.firstHead), to: Int(item.headEnd), by: together) {
      let heads = first..<min(first + together, Int(item.headEnd))
      attend(HeadItem(item: item, tile: tile, span: span, head: first), heads, scratch)
    }
  }

  /// The paper's loop: one query tile of some heads against one chunk of keys.
  private func attend(_ first: HeadItem, _ heads: Range<Int>, _ scratch: Scratch) {
    var work = first
    for head in heads {
      work.head = head
      let scratch = scratch.part(head - heads.lowerBound, rows: work.rows)
      gatherQueries(work, scratch)
      prepareRows(work, scratch)
      resetState(work, scratch)
    }
    var tile = keyTile(work, from: Int(work.item.kvFirst))
    while let numbered = tile {
      let keys = placed(numbered, work, scratch)
      let following = keyTile(work, from: keys.first + keys.count)
      let visibility = findVisible(work, keys, scratch)
      if visibility != .nothing {
        if readsRows(work.rows) { listTokens(work, keys, next: following, scratch) }
        if let turn = functors.turn, !turn.dependsOnHead { placeTurns(work, keys, scratch) }
        for head in heads {
          work.head = head
          let next =
            head + 1 < heads.upperBound
            ? (head: head + 1, keys: keys) : following.map { (head: heads.lowerBound, keys: $0) }
          attend(
            work, keys, visibility, next: next,
            scratch.part(head - heads.lowerBound, rows: work.rows))
        }
      }
      tile = following
    }
    for head in heads {
      work.head = head
      let scratch = scratch.part(head - heads.lowerBound, rows: work.rows)
      if work.item.state < 0 {
        writeOutput(work, scratch)
      } else {
        leavePartialState(work, scratch)
      }
    }
  }

  /// One head's rows against one tile of keys.
  private func attend(
    _ work: HeadItem, _ keys: KeyTile, _ visibility: TileVisibility,
    next: (head: Int, keys: KeyTile)?, _ scratch: Scratch
  ) {
    let coverage = coverage(work, keys)
    if coverage == .empty { return }
    gatherPanels(work, keys, next: next, scratch)
    score(work, keys, scratch)
    applyVariant(coverage, visibility, work, keys, scratch)
    weighValues(work, keys, scratch)
  }

  /// The tile of keys that begins at `first`; nil at the end of the chunk.
  @inline(__always)
  private func keyTile(_ work: HeadItem, from first: Int) -> KeyTile? {
    first < Int(work.item.kvEnd)
      ? KeyTile(
        first: first, count: min(AttentionWorkspace.tileKeys, Int(work.item.kvEnd) - first),
        positions: nil)
      : nil
  }
}
