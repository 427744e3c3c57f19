/// A block of query rows of one request, and the keys it reads.
///
/// Rows are packed (query, head of the group): row p is query p / g, head p mod g of each group.
package struct QueryTile: Sendable, Hashable, BitwiseCopyable {
  /// The request.
  package var request: Int32
  /// The first packed row.
  package var firstRow: Int32
  /// The number of packed rows.
  package var rowCount: Int32
  /// The first key read, a multiple of the schedule's granule.
  package var kvFirst: Int32
  /// The end of the keys read.
  package var kvEnd: Int32

  /// A tile.
  package init(request: Int32, firstRow: Int32, rowCount: Int32, kvFirst: Int32, kvEnd: Int32) {
    self.request = request
    self.firstRow = firstRow
    self.rowCount = rowCount
    self.kvFirst = kvFirst
    self.kvEnd = kvEnd
  }
}

/// A chunk of a query tile's keys: one worker's unit of work, for every key/value head.
package struct WorkItem: Sendable, Hashable, BitwiseCopyable {
  /// The query tile's number.
  package var tile: Int32
  /// The first key.
  package var kvFirst: Int32
  /// The end of the keys.
  package var kvEnd: Int32
  /// The first row of this item's partial state; −1 writes straight to the output.
  package var partialRow: Int32
}

/// A query tile that was cut: its partial states lie one after the other.
package struct MergeItem: Sendable, Hashable, BitwiseCopyable {
  /// The query tile's number.
  package var tile: Int32
  /// The first row of its first partial state.
  package var partialRow: Int32
  /// The number of partial states.
  package var count: Int32
}

/// What work costs, in arbitrary units: rows·perRow + kv·(perKV + rows·perScore).
///
/// The paper's cost is α·l_q + β·l_kv, for tiles of one size; here a tile has as many rows as its
/// request fills, so the product term tells a decode tile from a prefill tile of the same length.
package struct CostModel: Sendable, Hashable {
  /// α: packing and writing a row.
  package var perRow = 16
  /// β: reading a key and a value.
  package var perKV = 7
  /// Multiplying one row with one key and value.
  package var perScore = 1

  /// The default weights.
  package init() {}

  @inline(__always)
  func callAsFunction(rows: Int, kv: Int) -> Int { rows * perRow + kv * (perKV + rows * perScore) }
}

/// Algorithm 1 of the paper (FlashInfer, §3.3.1: arXiv 2501.01005): load-balanced scheduling.
///
/// The chunk bound is L = ⌈Σ l_kv / workers⌉ over query tiles, rounded up to the granule. Every
/// tile's keys are cut into ⌈l_kv / L⌉ chunks of nearly equal length ≤ L; chunks are sorted by
/// cost, descending; each goes to the worker with the least work so far. A tile that is not cut
/// writes straight to the output; the chunks of the others leave partial states, merged in the
/// order of their keys.
///
/// *Workspace bound.* A tile is cut only if its l_kv > L, so fewer than `workers` tiles are cut
/// (their lengths sum to at most workers·L), and they have at most
/// Σ (l_kv / L + 1) < workers + workers chunks: at most 2·workers partial tiles.
///
/// The same tiles always give the same schedule. Storage is kept between calls.
package final class Schedule {
  let tiles = Section<QueryTile>()
  let items = Section<WorkItem>()
  let merges = Section<MergeItem>()
  /// Worker w owns `items[workerOffsets[w] ..< workerOffsets[w + 1]]`.
  let workerOffsets = Section<Int32>()
  /// Rows that all partial states have together.
  private(set) package var partialRows = 0
  /// The number of partial states.
  private(set) package var partialCount = 0
  /// The chunk bound L.
  private(set) package var chunkBound = 0
  /// The number of workers.
  package let workers: Int
  /// Cuts fall on multiples of this many keys.
  package let granule: Int
  let cost: CostModel

  private let chunks = Section<WorkItem>()
  private let keys = Section<UInt64>()
  private let heap = Section<UInt64>()
  private let owners = Section<Int32>()

  /// A schedule for `workers` (at least 1) with cuts on multiples of `granule` keys.
  package init(workers: Int, granule: Int = 16, cost: CostModel = CostModel()) {
    self.workers = max(workers, 1)
    self.granule = max(granule, 1)
    self.cost = cost
  }

  /// Starts a new batch.
  package func removeAllTiles() { tiles.removeAll() }

  /// Adds a query tile.
  package func add(_ tile: QueryTile) { tiles.append(tile) }

  /// Distributes the tiles.
  package func distribute() {
    cutTiles()
    sortChunks()
    assignChunks()
  }

  private func cutTiles() {
    chunks.removeAll()
    merges.removeAll()
    partialRows = 0
    partialCount = 0
    var total = 0
    for tile in tiles.elements { total += Int(tile.kvEnd - tile.kvFirst) }
    let share = (total + workers - 1) / workers
    chunkBound = max((share + granule - 1) / granule * granule, granule)
    for (number, tile) in tiles.elements.enumerated() {
      let length = Int(tile.kvEnd - tile.kvFirst)
      if length <= chunkBound {
        chunks.append(
          WorkItem(
            tile: Int32(number), kvFirst: tile.kvFirst, kvEnd: tile.kvEnd, partialRow: -1))
      } else {
        cut(tile, number: Int32(number), length: length)
      }
    }
  }

  private func cut(_ tile: QueryTile, number: Int32, length: Int) {
    let pieces = (length + chunkBound - 1) / chunkBound
    // ⌈length / pieces⌉ rounded up to the granule is ≤ L, which is a multiple of it.
    let step = ((length + pieces - 1) / pieces + granule - 1) / granule * granule
    let firstRow = partialRows
    var count = 0
    for start in stride(from: 0, to: length, by: step) {
      chunks.append(
        WorkItem(
          tile: number, kvFirst: tile.kvFirst + Int32(start),
          kvEnd: tile.kvFirst + Int32(min(start + step, length)), partialRow: Int32(partialRows)))
      partialRows += Int(tile.rowCount)
      count += 1
    }
    partialCount += count
    merges.append(MergeItem(tile: number, partialRow: Int32(firstRow), count: Int32(count)))
  }

  /// Descending by cost, equal costs in order of creation: one number holds both.
  private func sortChunks() {
    keys.removeAll()
    for (i, chunk) in chunks.elements.enumerated() {
      let rows = Int(tiles.base[Int(chunk.tile)].rowCount)
      let weight = UInt64(clamping: cost(rows: rows, kv: Int(chunk.kvEnd - chunk.kvFirst)))
      keys.append(~min(weight, 1 << 40 - 1) << 24 | UInt64(i & 0xFF_FFFF))
    }
    var sorted = keys.elements
    sorted.sort()
  }

  private func assignChunks() {
    owners.fill(0, count: chunks.count)
    workerOffsets.fill(0, count: workers + 1)
    // Load in the upper bits, worker in the lower: the least load, then the least number. All
    // loads are 0 at first, and workers in order are a heap.
    heap.removeAll()
    for worker in 0..<workers { heap.append(UInt64(worker)) }
    for key in keys.elements {
      let chunk = Int(key & 0xFF_FFFF)
      let worker = Int(heap.base[0] & 0xFFFF)
      owners.base[chunk] = Int32(worker)
      workerOffsets.base[worker + 1] += 1
      let weight = ~key >> 24 & (1 << 40 - 1)
      heap.base[0] += weight << 16
      siftDown()
    }
    for worker in 0..<workers { workerOffsets.base[worker + 1] += workerOffsets.base[worker] }
    collectByWorker()
  }

  private func collectByWorker() {
    items.fill(WorkItem(tile: 0, kvFirst: 0, kvEnd: 0, partialRow: -1), count: chunks.count)
    // The heap has done its work; its storage now counts each worker's items.
    for worker in 0..<workers { heap.base[worker] = UInt64(workerOffsets.base[worker]) }
    for key in keys.elements {
      let chunk = Int(key & 0xFF_FFFF)
      let worker = Int(owners.base[chunk])
      items.base[Int(heap.base[worker])] = chunks.base[chunk]
      heap.base[worker] += 1
    }
  }

  private func siftDown() {
    let heap = heap.base
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < workers else { return }
      if child + 1 < workers, heap[child + 1] < heap[child] { child += 1 }
      guard heap[child] < heap[parent] else { return }
      (heap[parent], heap[child]) = (heap[child], heap[parent])
      parent = child
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

  /// The cost of one worker's items.
  package func load(of worker: Int) -> Int {
    items(of: worker).reduce(0) {
      $0
        + cost(rows: Int(tiles.base[Int($1.tile)].rowCount), kv: Int($1.kvEnd - $1.kvFirst))
    }
  }
}
