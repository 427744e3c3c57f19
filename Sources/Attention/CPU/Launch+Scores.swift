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

  /// The variant's logits and mask, then its bounds and the end of the keys.
  func applyVariant(
    _ program: TileProgram.View, _ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch
  ) {
    for row in 0..<work.rows {
      let scores = scratch.scores + row * AttentionWorkspace.scorePitch
      let place = scratch.places[row]
      if !program.isEmpty {
        var here = ScorePlace()
        here.query = Int(place.position)
        here.kv = keyTile.first
        here.queryHead = work.head * group + Int(place.member)
        here.kvHead = work.head
        here.request = Int(place.request)
        here.queryLength = Int(place.queryLength)
        here.kvLength = Int(place.kvLength)
        program.apply(
          to: scores, width: keyTile.width, at: here, scalars: scratch.scalars,
          vectors: scratch.vectors, pitch: AttentionWorkspace.scorePitch, kernels)
      }
      clip(scores, keyTile, query: Int(place.position))
    }
  }

  /// Overwrites the scores of keys outside the bounds, and of a last panel's missing keys.
  @inline(__always)
  func clip(_ scores: UnsafeMutablePointer<Float>, _ keyTile: KeyTile, query: Int) {
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
  func onlineSoftmax(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    kernels.softmax(
      scratch.scores, AttentionWorkspace.scorePitch, work.rows, keyTile.width, scratch.maximum,
      scratch.sum, scratch.rescale)
  }
}
