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
  /// Whether there is so little work that one thread does it sooner than several.
  private(set) var isSmall = true
  /// The chunk bound L of Algorithm 1, or the keys of an invariant chunk; 0 for the line.
  var chunkBound = 0
  /// The number of workers.
  package let workers: Int
  /// Key/value heads; a tile is worked on for each of them or for one.
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
  let partCounts = Section<Int32>()

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
  /// - Parameters:
  ///   - queryRows: The plan's list of query rows, which the tiles point into; rows are below
  ///     `queryCount`.
  ///   - mostKeys: The most keys that any row has in any batch, where that is known: rows that never
  ///     have more than an invariant chunk are not cut, wherever their keys begin.
  package func distribute(
    queryRows: UnsafePointer<Int32>, queryCount: Int, mostKeys: Int? = nil
  ) {
    stateCount = 0
    merges.removeAll()
    mergeStates.removeAll()
    isSmall = work <= Double(cost.perFork)
    switch rule {
    case .line:
      chunkBound = 0
      cutLine(chunk: nil)
    case .invariant:
      let isCut = mostKeys ?? .max > Self.invariantChunk
      chunkBound = isCut ? Self.invariantChunk : Int(Int32.max)
      cutLine(chunk: chunkBound)
    case .longestFirst: cutLongestFirst()
    }
    guard stateCount > 0 else { return }
    collectMerges(
      rule == .longestFirst ? chunks : items, queryRows: queryRows, queryCount: queryCount)
  }

  /// The cost of all tiles, uncut; in floating point, since a hostile batch may exceed an integer.
  var work: Double {
    var work = 0.0
    for tile in tiles.elements {
      work += Double(cost(rows: Int(tile.rowCount), kv: tile.length))
    }
    return work * Double(kvHeads)
  }

  /// The tiles of a group that is taller than a tile; 1 where tiles hold whole queries.
  var parts: Int { (group + AttentionPlan.largestTile - 1) / AttentionPlan.largestTile }

  /// Lists the partial states of every query and head, in the order of `items`.
  private func collectMerges(
    _ items: Section<WorkItem>, queryRows: UnsafePointer<Int32>, queryCount: Int
  ) {
    let (parts, largestTile) = (parts, AttentionPlan.largestTile)
    partCounts.fill(0, count: queryCount * kvHeads * parts)
    let counts = partCounts.base
    forEachPart(of: items, queryRows) { slot, _ in counts[slot] &+= 1 }
    var (total, slot) = (Int32(0), 0)
    for query in 0..<queryCount {
      for queryHead in stride(from: 0, to: kvHeads * group, by: group) {
        for member in stride(from: 0, to: group, by: largestTile) {
          let count = counts[slot]
          if count > 0 {
            merges.append(
              MergeItem(
                query: Int32(truncatingIfNeeded: query),
                queryHead: Int32(truncatingIfNeeded: queryHead + member),
                heads: Int32(truncatingIfNeeded: min(group - member, largestTile)), first: total,
                count: count))
            counts[slot] = total
            total += count
          }
          slot += 1
        }
      }
    }
    mergeStates.setCount(Int(total))
    let states = mergeStates.base
    forEachPart(of: items, queryRows) { slot, state in
      states[Int(counts[slot])] = Int32(truncatingIfNeeded: state)
      counts[slot] &+= 1
    }
  }

  /// Visits every (query, head, part of a tall group) of every item that leaves partial states,
  /// with the state of its first row.
  @inline(__always)
  private func forEachPart(
    of items: Section<WorkItem>, _ queryRows: UnsafePointer<Int32>,
    _ body: (_ slot: Int, _ state: Int) -> Void
  ) {
    let parts = parts
    for item in items.elements where item.state >= 0 {
      let tile = tiles.base[Int(item.tile)]
      let rows = Int(tile.rowCount)
      let part = Int(tile.firstMember) / AttentionPlan.largestTile
      var (row, entry) = (0, Int(tile.firstQuery))
      while row < rows {
        var slot = (Int(queryRows[entry]) * kvHeads + Int(item.firstHead)) * parts + part
        var state = Int(item.state) + row
        for _ in 0..<item.heads {
          body(slot, state)
          slot &+= parts
          state &+= rows
        }
        row += group
        entry += 1
      }
    }
  }
}

extension Schedule {
  /// Counts, or takes, the memory of batches within bounds.
  func place(_ memory: inout PlanMemory, _ capacity: PlanCapacity) {
    memory.take(tiles, capacity.tiles)
    memory.take(items, capacity.items)
    memory.take(workerOffsets, workers + 1)
    memory.take(merges, capacity.merges)
    memory.take(mergeStates, capacity.states)
    memory.take(partCounts, capacity.parts)
    guard rule == .longestFirst else { return }
    memory.take(chunks, capacity.items)
    memory.take(keys, capacity.items)
    memory.take(heap, workers)
    memory.take(owners, capacity.items)
  }

  var addresses: [UnsafeRawPointer] {
    [
      .init(tiles.base), .init(items.base), .init(workerOffsets.base), .init(merges.base),
      .init(mergeStates.base), .init(partCounts.base), .init(chunks.base), .init(keys.base),
      .init(heap.base), .init(owners.base),
    ]
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

  /// No schedule can be shorter: an even share of the keys and of packing rows, once for every
  /// (tile, head) and for every worker; nor than the smallest piece that any tile can be cut into.
  package var lowerBound: Int {
    var (keys, piece, rows, fewest, strands) = (0, 0, 0, Int.max, 0)
    for tile in tiles.elements {
      let packing = cost(rows: Int(tile.rowCount), kv: 0)
      let heads = tile.heads(of: kvHeads).count
      keys += heads * (cost(rows: Int(tile.rowCount), kv: tile.length) - packing)
      rows += heads * packing
      strands += heads
      fewest = min(fewest, packing)
      piece = max(piece, cost(rows: Int(tile.rowCount), kv: min(tile.length, granule)))
    }
    // A worker without a piece leaves its share to the others.
    let more = max(workers - strands, 0)
    let total = keys + rows + (tiles.count > 0 ? more * fewest : 0)
    return max((total + workers - 1) / workers, piece)
  }
}
