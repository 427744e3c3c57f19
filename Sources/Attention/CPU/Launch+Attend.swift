internal import CMicrokernels
internal import Glibc
internal import Tensors

/// A work item of one key/value head, with what follows from it.
struct HeadItem {
  let item: WorkItem
  let tile: QueryTile
  let head: Int
  /// Absolute position of the request's first query; negative where it has more queries than keys.
  let firstPosition: Int
  let kvLength: Int
  let queryLength: Int

  var rows: Int { Int(tile.rowCount) }
}

/// A run of keys of a work item: one score tile.
struct KeyTile {
  let first: Int
  let count: Int

  /// The panels that hold the keys.
  var panels: Int { (count + Int(SWA_PANEL_TOKENS) - 1) / Int(SWA_PANEL_TOKENS) }
  /// The width of the score tile, whole panels.
  var width: Int { panels * Int(SWA_PANEL_TOKENS) }
}

extension Launch {
  /// Executes the queues that fall to one thread.
  func attend(thread: Int) {
    let scratch = scratches[thread]
    for worker in stride(from: thread, to: workers, by: threads) {
      for i in Int(workerOffsets[worker])..<Int(workerOffsets[worker + 1]) {
        for head in 0..<kvHeads { attend(headItem(items[i], head: head), scratch) }
      }
    }
  }

  private func headItem(_ item: WorkItem, head: Int) -> HeadItem {
    let tile = tiles[Int(item.tile)]
    let request = Int(tile.request)
    let kvLength = Int(kvLengths[request])
    let queryLength = queryOffsets[request + 1] - queryOffsets[request]
    return HeadItem(
      item: item, tile: tile, head: head, firstPosition: kvLength - queryLength,
      kvLength: kvLength, queryLength: queryLength)
  }

  /// The paper's loop: one query tile against one chunk of keys.
  private func attend(_ work: HeadItem, _ scratch: Scratch) {
    gatherQueries(work, scratch)
    prepareRows(work, scratch)
    resetState(work, scratch)
    var next = Int(work.item.kvFirst)
    while next < Int(work.item.kvEnd) {
      let keys = KeyTile(
        first: next, count: min(AttentionWorkspace.tileKeys, Int(work.item.kvEnd) - next))
      next += keys.count
      let coverage = coverage(work, keys)
      if coverage == .empty { continue }
      gatherPages(work, keys, scratch)
      lookAhead(work, keys, scratch)
      score(work, keys, scratch)
      weigh(coverage, work, keys, scratch)
      weighValues(work, keys, scratch)
    }
    if work.item.partialRow < 0 {
      writeOutput(work, scratch)
    } else {
      leavePartialState(work, scratch)
    }
  }
}
