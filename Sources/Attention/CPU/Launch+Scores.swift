internal import CMicrokernels
internal import Tensors

// What happens to scores between the two products.
extension Launch {
  /// What the mask beyond the bounds makes of a tile.
  func coverage(_ work: HeadItem, _ keyTile: KeyTile) -> TileCoverage {
    guard let residual else { return .full }
    let places = PlaceRange(
      query: work.span.positions, kv: keyTile.first...keyTile.first + keyTile.count - 1,
      queryHead: work.head * group...work.head * group + group - 1,
      kvHead: work.head...work.head, request: work.span.requests,
      queryLength: work.span.queryLengths, kvLength: work.span.kvLengths)
    return residual.coverage(over: places, parameters)
  }

  /// What the bounds leave of a tile to each row and each strip; false where they leave nothing.
  func findVisible(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) -> Bool {
    let tokens = Int(SWA_PANEL_TOKENS)
    let strips = (work.rows + kernels.strip - 1) / kernels.strip
    let height = (work.rows + strips - 1) / strips
    var any = false
    for (strip, firstRow) in stride(from: 0, to: work.rows, by: height).enumerated() {
      var (low, high) = (keyTile.count, 0)
      for row in firstRow..<min(firstRow + height, work.rows) {
        let visible = visibleKeys(keyTile, query: Int(scratch.places[row].position))
        scratch.visible[row] = visible
        if visible.first < visible.end {
          low = min(low, Int(visible.first))
          high = max(high, Int(visible.end))
        }
      }
      scratch.spans[strip] =
        low < high
        ? swa_span(first: UInt32(low / tokens), end: UInt32((high + tokens - 1) / tokens))
        : swa_span(first: 0, end: 0)
      any = any || low < high
    }
    return any
  }

  /// The tile's columns within the bounds, for one query.
  @inline(__always)
  private func visibleKeys(_ keyTile: KeyTile, query: Int) -> swa_span {
    var (first, last) = (keyTile.first, keyTile.first + keyTile.count - 1)
    for i in 0..<boundCount {
      let limit = bounds[i].limit(query: query)
      if bounds[i].isUpper { last = min(last, limit) } else { first = max(first, limit) }
    }
    if first > last { return swa_span(first: 0, end: 0) }
    return swa_span(first: UInt32(first - keyTile.first), end: UInt32(last + 1 - keyTile.first))
  }

  /// The variant's logits and mask, then its bounds and the end of the keys.
  func applyVariant(
    _ program: TileProgram.View, _ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch
  ) {
    let strips = (work.rows + kernels.strip - 1) / kernels.strip
    let height = (work.rows + strips - 1) / strips
    for row in 0..<work.rows {
      let span = scratch.spans[row / height]
      let columns = Int(span.first) * Int(SWA_PANEL_TOKENS)..<Int(span.end) * Int(SWA_PANEL_TOKENS)
      if columns.isEmpty { continue }
      let scores = scratch.scores + row * AttentionWorkspace.scorePitch
      let place = scratch.places[row]
      if !program.isEmpty {
        var here = ScorePlace()
        here.query = Int(place.position)
        here.kv = keyTile.first + columns.lowerBound
        here.queryHead = work.head * group + Int(place.member)
        here.kvHead = work.head
        here.request = Int(place.request)
        here.queryLength = Int(place.queryLength)
        here.kvLength = Int(place.kvLength)
        program.apply(
          to: scores + columns.lowerBound, width: columns.count, at: here,
          scalars: scratch.scalars, vectors: scratch.vectors,
          pitch: AttentionWorkspace.scorePitch, kernels)
      }
      clip(scores, columns, to: scratch.visible[row])
    }
  }

  /// Overwrites the scores of keys outside the bounds, and of a last panel's missing keys.
  @inline(__always)
  private func clip(
    _ scores: UnsafeMutablePointer<Float>, _ columns: Range<Int>, to visible: swa_span
  ) {
    let first = min(max(Int(visible.first), columns.lowerBound), columns.upperBound)
    let end = max(min(Int(visible.end), columns.upperBound), columns.lowerBound)
    (scores + columns.lowerBound).update(repeating: -.infinity, count: first - columns.lowerBound)
    (scores + end).update(repeating: -.infinity, count: columns.upperBound - end)
  }

  /// Scores become probabilities relative to the running maximum.
  func onlineSoftmax(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    stored.packed.softmax(
      scratch.scores, AttentionWorkspace.scorePitch, work.rows, scratch.spans, scratch.maximum,
      scratch.sum, scratch.rescale)
  }
}
