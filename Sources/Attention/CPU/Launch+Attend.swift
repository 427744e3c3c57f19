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
      applyVariant(coverage == .full ? unmasked : program, work, keys, scratch)
      onlineSoftmax(work, keys, scratch)
      weighValues(work, keys, scratch)
    }
    if work.item.partialRow < 0 {
      writeOutput(work, scratch)
    } else {
      leavePartialState(work, scratch)
    }
  }

  /// The query of a packed row and its head.
  @inline(__always)
  private func place(_ work: HeadItem, row: Int) -> (query: Int, queryHead: Int) {
    let packed = Int(work.tile.firstRow) + row
    let (query, member) = packed.quotientAndRemainder(dividingBy: group)
    return (query, work.head * group + member)
  }

  /// What the mask beyond the bounds makes of a tile.
  private func coverage(_ work: HeadItem, _ keyTile: KeyTile) -> TileCoverage {
    guard let residual else { return .full }
    let first = place(work, row: 0).query
    let last = place(work, row: work.rows - 1).query
    let places = PlaceRange(
      query: work.firstPosition + first...work.firstPosition + last,
      kv: keyTile.first...keyTile.first + keyTile.count - 1,
      queryHead: work.head * group...work.head * group + group - 1,
      kvHead: work.head...work.head, request: Int(work.tile.request),
      queryLength: work.queryLength, kvLength: work.kvLength)
    return residual.coverage(over: places, parameters)
  }

  /// Packs the tile's queries, scaled, in the order the score kernel reads them.
  private func gatherQueries(_ work: HeadItem, _ scratch: Scratch) {
    let first = queryOffsets[Int(work.tile.request)]
    for row in 0..<work.rows {
      let (query, head) = place(work, row: row)
      scratch.queryRows[row] = UnsafePointer(queries.row(first + query) + head * headDimension)
    }
    kernels.pack_queries(scratch.queryRows, work.rows, headDimension, scale, scratch.queries)
  }

  /// The identity (0, −∞).
  private func resetState(_ work: HeadItem, _ scratch: Scratch) {
    scratch.output.update(repeating: 0, count: work.rows * scratch.outputPitch)
    scratch.maximum.update(repeating: -.infinity, count: work.rows)
    scratch.sum.update(repeating: 0, count: work.rows)
  }

  /// Finds the tile's keys and values in their pages.
  private func gatherPages(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    let pages = pageIndices + Int(pageOffsets[Int(work.tile.request)])
    let pageSize = geometry.pageSize
    var token = 0
    while token < keyTile.count {
      let (index, place) = (keyTile.first + token).quotientAndRemainder(dividingBy: pageSize)
      let page = Int(pages[index])
      let end = min(token + pageSize - place, keyTile.count)
      let keyHead = keys + geometry.keyOffset(page: page, head: work.head)
      let valueHead = values + geometry.valueOffset(page: page, head: work.head)
      if geometry.hasPanels {
        // Tiles and pages both begin at multiples of a panel.
        let tokens = Int(SWA_PANEL_TOKENS)
        for t in stride(from: token, to: end, by: tokens) {
          let panel = (place + t - token) / tokens
          scratch.panels[t / tokens] = keyHead + panel * geometry.panelBytes
        }
      } else {
        for t in token..<end {
          scratch.keyRows[t] = keyHead + (place + t - token) * geometry.keyRowBytes
        }
      }
      for t in token..<end {
        scratch.valueRows[t] = valueHead + (place + t - token) * geometry.valueRowBytes
      }
      token = end
    }
    if !geometry.hasPanels { packKeys(keyTile, scratch) }
  }

  /// Notes what to fetch while this tile is worked on.
  ///
  /// Its values while its keys are read, the keys of the tile after it (or of the next head) while
  /// its values are; with many rows, both while its keys are read. Only panels are fetched ahead; elsewhere the lists name memory that is in the
  /// cache anyway.
  private func lookAhead(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    let tokens = Int(SWA_PANEL_TOKENS)
    let blocks = AttentionWorkspace.tileKeys / tokens
    let idle = UnsafeRawPointer(scratch.queries)
    scratch.valueBlocks.update(repeating: idle, count: blocks)
    scratch.keyBlocks.update(repeating: idle, count: blocks)
    guard geometry.hasPanels else { return }
    for i in 0..<keyTile.panels { scratch.valueBlocks[i] = scratch.valueRows[i * tokens] }

    var (first, head) = (keyTile.first + keyTile.count, work.head)
    if first >= Int(work.item.kvEnd) { (first, head) = (Int(work.item.kvFirst), work.head + 1) }
    guard head < kvHeads else { return }
    let pages = pageIndices + Int(pageOffsets[Int(work.tile.request)])
    let end = min(first + AttentionWorkspace.tileKeys, Int(work.item.kvEnd))
    for (i, token) in stride(from: first, to: end, by: tokens).enumerated() {
      let (index, place) = token.quotientAndRemainder(dividingBy: geometry.pageSize)
      scratch.keyBlocks[i] =
        keys + geometry.keyOffset(page: Int(pages[index]), head: head)
        + place / tokens * geometry.panelBytes
    }
  }

  /// Transposes keys that lie token after token into panels of floats.
  private func packKeys(_ keyTile: KeyTile, _ scratch: Scratch) {
    let tokens = Int(SWA_PANEL_TOKENS)
    for panel in 0..<keyTile.panels {
      let packed = scratch.packedKeys + panel * tokens * (headDimension + headDimension % 2)
      stored.pack_keys(
        scratch.keyRows + panel * tokens, min(tokens, keyTile.count - panel * tokens),
        headDimension, packed)
      scratch.panels[panel] = UnsafeRawPointer(packed)
    }
  }

  /// S = Q·Kᵀ, panel by panel.
  private func score(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    let kernel:
      @convention(c) (
        UnsafePointer<Float>?, Int, Int, UnsafeRawPointer?, UnsafeMutablePointer<Float>?, Int,
        UnsafePointer<UnsafeRawPointer?>?, UnsafePointer<UnsafeRawPointer?>?, Int
      ) -> Void = geometry.hasPanels ? stored.scores : kernels.f32.scores
    // Each panel fetches its share of a group of blocks of values.
    let group = Int(SWA_AHEAD)
    let share = (Int(SWA_PANEL_TOKENS) * geometry.valueRowBytes / group + 63) / 64 * 64
    let many = work.rows >= Self.packedRows
    for panel in 0..<keyTile.panels {
      let keyBlocks = scratch.keyBlocks + panel / group * group
      kernel(
        scratch.queries, work.rows, headDimension, scratch.panels[panel],
        scratch.scores + panel * Int(SWA_PANEL_TOKENS), AttentionWorkspace.scorePitch,
        scratch.valueBlocks + panel / group * group, many ? keyBlocks : nil,
        panel % group * share)
    }
  }

  /// The variant's logits and mask, then its bounds and the end of the keys.
  private func applyVariant(
    _ program: TileProgram.View, _ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch
  ) {
    for row in 0..<work.rows {
      let scores = scratch.scores + row * AttentionWorkspace.scorePitch
      let (query, head) = place(work, row: row)
      if !program.isEmpty {
        var here = ScorePlace()
        here.query = work.firstPosition + query
        here.kv = keyTile.first
        here.queryHead = head
        here.kvHead = work.head
        here.request = Int(work.tile.request)
        here.queryLength = work.queryLength
        here.kvLength = work.kvLength
        program.apply(
          to: scores, width: keyTile.width, at: here, scalars: scratch.scalars,
          vectors: scratch.vectors, pitch: AttentionWorkspace.scorePitch, kernels)
      }
      clip(scores, keyTile, query: work.firstPosition + query)
    }
  }

  /// Overwrites the scores of keys outside the bounds, and of a last panel's missing keys.
  @inline(__always)
  private func clip(_ scores: UnsafeMutablePointer<Float>, _ keyTile: KeyTile, query: Int) {
    var (first, last) = (keyTile.first, keyTile.first + keyTile.count - 1)
    for i in 0..<boundCount {
      let limit = bounds[i].limit(query: query)
      if bounds[i].isUpper { last = min(last, limit) } else { first = max(first, limit) }
    }
    let head = min(first - keyTile.first, keyTile.width)
    if head > 0 { scores.update(repeating: -.infinity, count: head) }
    let kept = max(last + 1 - keyTile.first, 0)
    if kept < keyTile.width {
      (scores + kept).update(repeating: -.infinity, count: keyTile.width - kept)
    }
  }

  /// Scores become probabilities relative to the running maximum.
  private func onlineSoftmax(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    kernels.softmax(
      scratch.scores, AttentionWorkspace.scorePitch, work.rows, keyTile.width, scratch.maximum,
      scratch.sum, scratch.rescale)
  }

  /// O = rescale·O + P·V.
  ///
  /// Values are converted once where many rows share them.
  private func weighValues(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    if work.rows < Self.packedRows {
      stored.values(
        scratch.scores, AttentionWorkspace.scorePitch, work.rows, scratch.valueRows,
        keyTile.count, valueDimension, scratch.rescale, scratch.output, scratch.outputPitch,
        scratch.keyBlocks)
    } else {
      stored.pack_values(
        scratch.valueRows, keyTile.count, valueDimension, scratch.packedValues)
      kernels.values_packed(
        scratch.scores, AttentionWorkspace.scorePitch, work.rows, scratch.packedValues,
        keyTile.count, valueDimension, scratch.rescale, scratch.output, scratch.outputPitch)
    }
  }

  /// From this many rows on, converting values for them pays.
  private static let packedRows = 16

  /// ln of the softmax denominator; −∞ for a row that attends to nothing.
  @inline(__always)
  private func logSumExp(_ row: Int, _ scratch: Scratch) -> Float {
    scratch.maximum[row] == -.infinity ? -.infinity : scratch.maximum[row] + log(scratch.sum[row])
  }

  /// A tile that was not cut: straight to the output.
  private func writeOutput(_ work: HeadItem, _ scratch: Scratch) {
    let first = queryOffsets[Int(work.tile.request)]
    for row in 0..<work.rows {
      let (query, head) = place(work, row: row)
      normalize(row, scratch, to: output.row(first + query) + head * valueDimension)
      if let lse { lse.row(first + query)[head] = logSumExp(row, scratch) * lseFactor }
    }
  }

  /// A chunk of a tile that was cut: its attention state, for the merge.
  private func leavePartialState(_ work: HeadItem, _ scratch: Scratch) {
    let base = Int(work.item.partialRow) * kvHeads + work.head * work.rows
    for row in 0..<work.rows {
      normalize(row, scratch, to: partialOutput + (base + row) * valueDimension)
      partialLSE[base + row] = logSumExp(row, scratch)
    }
  }

  /// O / l, or exact zeros for a row that attends to nothing.
  @inline(__always)
  private func normalize(_ row: Int, _ scratch: Scratch, to target: UnsafeMutablePointer<Float>) {
    if scratch.maximum[row] == -.infinity {
      target.update(repeating: 0, count: valueDimension)
    } else {
      kernels.scale(
        scratch.output + row * scratch.outputPitch, valueDimension, 1 / scratch.sum[row], target)
    }
  }

  /// Merges the partial states of tiles that were cut, in the order of their keys.
  func merge(thread: Int) {
    for i in stride(from: thread, to: mergeCount * kvHeads, by: threads) {
      let merge = merges[i / kvHeads]
      let head = i % kvHeads
      let tile = tiles[Int(merge.tile)]
      let rows = Int(tile.rowCount)
      let first = queryOffsets[Int(tile.request)]
      let base = Int(merge.partialRow) * kvHeads + head * rows
      for row in 0..<rows {
        let packed = Int(tile.firstRow) + row
        let (query, member) = packed.quotientAndRemainder(dividingBy: group)
        let queryHead = head * group + member
        let total = kernels.merge(
          partialOutput + (base + row) * valueDimension, rows * kvHeads * valueDimension,
          partialLSE + base + row, rows * kvHeads, Int(merge.count), valueDimension,
          output.row(first + query) + queryHead * valueDimension)
        if let lse { lse.row(first + query)[queryHead] = total * lseFactor }
      }
    }
  }
}
