// The rule `.longestFirst`: Algorithm 1 as published.
extension Schedule {
  /// Sorted chunks, each to the least loaded worker.
  ///
  /// The chunk bound is L = ⌈Σ l_kv / workers⌉ over query tiles, rounded up to the granule. Every
  /// tile's keys are cut into ⌈l_kv / L⌉ chunks of nearly equal length ≤ L; chunks are sorted by
  /// cost, descending; each goes, with all its heads, to the worker with the least work so far.
  ///
  /// *Workspace bound.* A tile is cut only if its l_kv > L, so fewer than `workers` tiles are cut
  /// (their lengths sum to at most workers·L), and they have at most
  /// Σ (l_kv / L + 1) < workers + workers chunks: at most 2·workers partial tiles, of all heads.
  func cutLongestFirst() {
    cutTiles()
    sortChunks()
    assignChunks()
  }

  private func cutTiles() {
    chunks.removeAll()
    var total = 0
    for tile in tiles.elements { total += tile.length }
    let share = (total + workers - 1) / workers
    chunkBound = max((share + granule - 1) / granule * granule, granule)
    for (number, tile) in tiles.elements.enumerated() {
      let length = tile.length
      let heads = tile.heads(of: kvHeads)
      let pieces = max((length + chunkBound - 1) / chunkBound, 1)
      // ⌈length / pieces⌉ rounded up to the granule is ≤ L, which is a multiple of it.
      let step = ((length + pieces - 1) / pieces + granule - 1) / granule * granule
      var first = 0
      repeat {
        let end = min(first + step, length)
        let isPartial = !tile.isSole || end - first < length
        chunks.append(
          WorkItem(
            tile: Int32(number), kvFirst: tile.kvFirst + Int32(first),
            kvEnd: tile.kvFirst + Int32(end), firstHead: Int32(heads.lowerBound),
            headEnd: Int32(heads.upperBound), state: isPartial ? Int32(stateCount) : -1))
        if isPartial { stateCount += Int(tile.rowCount) * heads.count }
        first = end
      } while first < length
    }
  }

  /// Descending by cost, equal costs in order of creation: one number holds both.
  private func sortChunks() {
    keys.removeAll()
    for (i, chunk) in chunks.elements.enumerated() {
      let weight = UInt64(clamping: cost(of: chunk))
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
    items.fill(
      WorkItem(tile: 0, kvFirst: 0, kvEnd: 0, firstHead: 0, headEnd: 0, state: -1),
      count: chunks.count)
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
