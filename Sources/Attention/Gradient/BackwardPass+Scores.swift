internal import CMicrokernels
internal import Tensors

// A tile of scores: which of them count, and the gradient through them.
extension BackwardPass {
  /// The panels of a key tile that the bounds leave to any of a tile's queries.
  func columns(_ work: UnitWork, _ tile: GradientTile) -> Range<Int> {
    var (first, last) = (tile.firstKey, tile.firstKey + tile.keys - 1)
    let start = work.firstPosition + tile.firstRow / group
    let end = work.firstPosition + (tile.firstRow + tile.rows - 1) / group
    for i in 0..<boundCount {
      let (a, b) = (bounds[i].limit(query: start), bounds[i].limit(query: end))
      if bounds[i].isUpper { last = min(last, max(a, b)) } else { first = max(first, min(a, b)) }
    }
    guard first <= last else { return 0..<0 }
    let panel = Int(SWA_PANEL_TOKENS)
    let lower = (first - tile.firstKey) / panel * panel
    return lower..<(last - tile.firstKey) / panel * panel + panel
  }

  /// What is left of a tile: nothing where the bounds say so, else what the rest of the mask says.
  func coverage(_ work: UnitWork, _ tile: GradientTile) -> TileCoverage {
    if tile.columns.isEmpty { return .empty }
    guard let residual else { return .full }
    let keys = tile.present
    let start = work.firstPosition + tile.firstRow / group
    let end = work.firstPosition + (tile.firstRow + tile.rows - 1) / group
    let head = work.unit.head
    let places = PlaceRange(
      query: start...end,
      kv: tile.firstKey + keys.lowerBound...tile.firstKey + keys.upperBound - 1,
      queryHead: head * group...head * group + group - 1, kvHead: head...head,
      request: work.unit.request, queryLength: work.queryLength, kvLength: work.kvLength)
    return residual.coverage(over: places, parameters)
  }

  /// From scores x and dP to weights P and the scores' gradient dX, row by row; the derivatives by
  /// parameters are added up on the way.
  func differentiateScores(_ work: UnitWork, _ tile: GradientTile, isFull: Bool) {
    let scratch = work.scratch
    let program = isFull ? unmasked : logits
    let count = tile.columns.count
    let needsScores = slope != nil || derivativeCount > 0
    var here = ScorePlace()
    here.kv = tile.firstKey + tile.columns.lowerBound
    here.kvHead = work.unit.head
    here.request = work.unit.request
    here.queryLength = work.queryLength
    here.kvLength = work.kvLength
    for i in 0..<tile.rows {
      let row = tile.firstRow + i
      let (query, head) = place(work, row: row)
      here.query = work.firstPosition + query
      here.queryHead = head
      let offset = i * GradientWorkspace.scorePitch + tile.columns.lowerBound
      let scores = scratch.scores + offset
      let gradients = scratch.scoreGradients + offset
      if needsScores { scratch.plainScores.update(from: scores, count: count) }
      if !program.isEmpty { apply(program, to: scores, count, at: here, scratch) }
      clip(scores, tile, query: here.query)
      kernels.gradient.softmax(scores, gradients, count, scratch.lse[row], scratch.delta[row])
      for p in 0..<derivativeCount {
        derive(derivatives[p], count, at: here, scratch)
        work.sums[p * group + row % group] += Double(
          kernels.gradient.weighted_sum(gradients, scratch.derivative, count))
      }
      if let slope {
        derive(slope, count, at: here, scratch)
        kernels.gradient.chain(scratch.derivative, gradients, count)
      }
    }
  }

  @inline(__always)
  private func apply(
    _ program: TileProgram.View, to row: UnsafeMutablePointer<Float>, _ count: Int,
    at here: ScorePlace, _ scratch: GradientScratch
  ) {
    program.apply(
      to: row, width: count, at: here, scalars: scratch.scalars, vectors: scratch.vectors,
      pitch: GradientWorkspace.scorePitch, kernels)
  }

  /// A derivative at the row's scores.
  private func derive(
    _ program: TileProgram.View, _ count: Int, at here: ScorePlace, _ scratch: GradientScratch
  ) {
    scratch.derivative.update(from: scratch.plainScores, count: count)
    apply(program, to: scratch.derivative, count, at: here, scratch)
  }

  /// Overwrites the scores of keys outside the bounds, and of a last panel's missing keys.
  private func clip(_ scores: UnsafeMutablePointer<Float>, _ tile: GradientTile, query: Int) {
    let start = tile.firstKey + tile.columns.lowerBound
    var (first, last) = (start, start + tile.present.count - 1)
    for i in 0..<boundCount {
      let limit = bounds[i].limit(query: query)
      if bounds[i].isUpper { last = min(last, limit) } else { first = max(first, limit) }
    }
    let head = min(first - start, tile.columns.count)
    if head > 0 { scores.update(repeating: -.infinity, count: head) }
    let kept = max(last + 1 - start, 0)
    if kept < tile.columns.count {
      (scores + kept).update(repeating: -.infinity, count: tile.columns.count - kept)
    }
  }
}
