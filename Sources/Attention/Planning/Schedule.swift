/// Distributes query tiles over workers.
///
/// Algorithm 1 of the paper (FlashInfer, §3.3.1: arXiv 2501.01005) is the rule `.longestFirst`;
/// `.line` is what plans use: it gives the same promises with less imbalance and fewer cuts (see
/// `cutLine`). Both are deterministic: the same tiles always give the same schedule.
///
/// A tile that has its rows for itself and is not cut writes straight to the output; everything
/// else leaves partial states, which are merged in the order of tiles and keys. Storage is kept
/// between calls.
package final class Schedule {
  /// How work is cut and distributed.
  package enum Rule: String, Sendable, CaseIterable {
    /// The work in a line, cut into equal shares.
    case line
    /// Algorithm 1: chunks no longer than an even share, longest first to the least loaded worker.
    case longestFirst
    /// Chunks that depend on nothing but their own request, in a line cut between heads.
    case invariant
  }

  let tiles = Section<QueryTile>()
  let items = Section<WorkItem>()
  /// Worker w owns `items[workerOffsets[w] ..< workerOffsets[w + 1]]`.
  let workerOffsets = Section<Int32>()
  let merges = Section<MergeItem>()
  let mergeStates = Section<Int32>()
  /// Partial states that a run leaves, each of one row.
  var stateCount = 0
  /// The chunk bound L of Algorithm 1, or the keys of an invariant chunk; 0 for the line.
  var chunkBound = 0
  /// The number of workers.
  package let workers: Int
  /// Key/value heads; every tile is worked on for each of them.
  package let kvHeads: Int
  /// Query heads of a key/value head.
  package let group: Int
  /// Cuts fall on multiples of this many keys.
  package let granule: Int
  /// How work is cut and distributed.
  package let rule: Rule
  package let cost: CostModel

  // Algorithm 1's chunks with their sort keys, the workers' heap, and who got what.
  let chunks = Section<WorkItem>()
  let keys = Section<UInt64>()
  let heap = Section<UInt64>()
  let owners = Section<Int32>()
  private let partCounts = Section<Int32>()

  /// The keys of a chunk under the rule `.invariant`.
  package static let invariantChunk = 2_048

  /// A schedule for `workers` (at least 1) with cuts on multiples of `granule` keys.
  package init(
    workers: Int, kvHeads: Int = 1, group: Int = 1, granule: Int = 16, rule: Rule = .line,
    cost: CostModel = CostModel()
  ) {
    self.workers = max(workers, 1)
    self.kvHeads = max(kvHeads, 1)
    self.group = max(group, 1)
    self.granule = max(granule, 1)
    self.rule = rule
    self.cost = cost
  }

  /// Starts a new batch.
  package func removeAllTiles() { tiles.removeAll() }

  /// Adds a query tile.
  ///
  /// Where tiles share rows, those of earlier keys come first.
  package func add(_ tile: QueryTile) { tiles.append(tile) }

  /// Distributes the tiles.
  ///
  /// - Parameter queryRows: The plan's list of query rows, which the tiles point into; rows are
  ///   below `queryCount`.
  package func distribute(queryRows: UnsafePointer<Int32>, queryCount: Int) {
    stateCount = 0
    merges.removeAll()
    mergeStates.removeAll()
    switch rule {
    case .line:
      chunkBound = 0
      cutLine(chunk: nil)
    case .invariant:
      chunkBound = Self.invariantChunk
      cutLine(chunk: Self.invariantChunk)
    case .longestFirst: cutLongestFirst()
    }
    guard stateCount > 0 else { return }
    collectMerges(
      rule == .longestFirst ? chunks : items, queryRows: queryRows, queryCount: queryCount)
  }

  /// The tiles of a group that is taller than a tile; 1 where tiles hold whole queries.
  var parts: Int { (group + AttentionPlan.largestTile - 1) / AttentionPlan.largestTile }

  /// Lists the partial states of every query and head, in the order of `items`.
  private func collectMerges(
    _ items: Section<WorkItem>, queryRows: UnsafePointer<Int32>, queryCount: Int
  ) {
    let slots = queryCount * kvHeads * parts
    partCounts.fill(0, count: slots)
    forEachPart(of: items, queryRows) { slot, _, _ in partCounts.base[slot] += 1 }
    var total: Int32 = 0
    for slot in 0..<slots where partCounts.base[slot] > 0 {
      let (place, part) = slot.quotientAndRemainder(dividingBy: parts)
      let (query, kvHead) = place.quotientAndRemainder(dividingBy: kvHeads)
      let member = part * AttentionPlan.largestTile
      merges.append(
        MergeItem(
          query: Int32(query), queryHead: Int32(kvHead * group + member),
          heads: Int32(min(group - member, AttentionPlan.largestTile)), first: total,
          count: partCounts.base[slot]))
      (total, partCounts.base[slot]) = (total + partCounts.base[slot], total)
    }
    mergeStates.fill(0, count: Int(total))
    forEachPart(of: items, queryRows) { slot, state, _ in
      mergeStates.base[Int(partCounts.base[slot])] = Int32(state)
      partCounts.base[slot] += 1
    }
  }

  /// Visits every (query, head, part of a tall group) of every item that leaves partial states.
  @inline(__always)
  private func forEachPart(
    of items: Section<WorkItem>, _ queryRows: UnsafePointer<Int32>,
    _ body: (_ slot: Int, _ state: Int, _ members: Int) -> Void
  ) {
    for item in items.elements where item.state >= 0 {
      let tile = tiles.base[Int(item.tile)]
      let rows = Int(tile.rowCount)
      let members = min(group, rows)
      let part = Int(tile.firstMember) / AttentionPlan.largestTile
      for head in Int(item.firstHead)..<Int(item.headEnd) {
        let states = Int(item.state) + (head - Int(item.firstHead)) * rows
        for (i, row) in stride(from: 0, to: rows, by: members).enumerated() {
          let query = Int(queryRows[Int(tile.firstQuery) + i])
          body((query * kvHeads + head) * parts + part, states + row, members)
        }
      }
    }
  }
}

extension Schedule {
  /// The items of one worker, in the order it takes them.
  package func items(of worker: Int) -> [WorkItem] {
    let range = Int(workerOffsets.base[worker])..<Int(workerOffsets.base[worker + 1])
    return range.map { items.base[$0] }
  }

  /// All query tiles.
  package var allTiles: [QueryTile] { Array(tiles.elements) }

  /// All merges.
  package var allMerges: [MergeItem] { Array(merges.elements) }

  /// The states that a merge reads, in its order.
  package func states(of merge: MergeItem) -> [Int32] {
    (0..<Int(merge.count)).map { mergeStates.base[Int(merge.first) + $0] }
  }

  /// Partial states that a run leaves, each of one row.
  package var partialStates: Int { stateCount }

  /// The number of partial tiles: (tile, chunk, head) that leave states.
  package var partialTiles: Int {
    items.elements.reduce(0) { $0 + ($1.state >= 0 ? $1.heads : 0) }
  }

  /// The cost of an item.
  package func cost(of item: WorkItem) -> Int {
    let rows = Int(tiles.base[Int(item.tile)].rowCount)
    return item.heads * cost(rows: rows, kv: Int(item.kvEnd - item.kvFirst))
  }

  /// The cost of one worker's items.
  package func load(of worker: Int) -> Int { items(of: worker).reduce(0) { $0 + cost(of: $1) } }

  /// The cost of the most loaded worker.
  package var makespan: Int { (0..<workers).map(load).max() ?? 0 }

  /// No schedule can be shorter: an even share of all tiles uncut, or the smallest piece that the
  /// largest tile's keys can be cut into.
  package var lowerBound: Int {
    var (total, piece) = (0, 0)
    for tile in tiles.elements {
      total += kvHeads * cost(rows: Int(tile.rowCount), kv: tile.length)
      piece = max(piece, cost(rows: Int(tile.rowCount), kv: min(tile.length, granule)))
    }
    return max((total + workers - 1) / workers, piece)
  }
}
