import Glibc

/// Attention written down as its definition says, in Double: the oracle of every test.
///
/// A variant's tree is interpreted score by score. Slow, dense, and obvious on purpose; it shares
/// nothing with the kernels but the tree.
package struct DenseAttention {
  /// The sizes.
  package let shape: AttentionShape
  /// The kind of attention.
  package let variant: AttentionVariant

  /// One request's tensors, as functions of a row and a head.
  package struct Request {
    /// The request's number in the batch.
    package var number = 0
    /// New tokens.
    package var queryLength: Int
    /// Tokens with keys.
    package var kvLength: Int
    /// The query of a new token and query head.
    package var query: (_ i: Int, _ head: Int) -> [Float]
    /// The key of a position and kv head.
    package var key: (_ position: Int, _ head: Int) -> [Float]
    /// The value of a position and kv head.
    package var value: (_ position: Int, _ head: Int) -> [Float]
    /// Whether a new token of a kv head looks at a position at all; `nil` where all look at all.
    package var attends: ((_ i: Int, _ head: Int, _ position: Int) -> Bool)?

    /// A request.
    package init(
      number: Int = 0, queryLength: Int, kvLength: Int,
      query: @escaping (_ i: Int, _ head: Int) -> [Float],
      key: @escaping (_ position: Int, _ head: Int) -> [Float],
      value: @escaping (_ position: Int, _ head: Int) -> [Float]
    ) {
      self.number = number
      self.queryLength = queryLength
      self.kvLength = kvLength
      self.query = query
      self.key = key
      self.value = value
    }
  }

  /// The reference for a shape and a variant.
  package init(shape: AttentionShape, variant: AttentionVariant) {
    self.shape = shape
    self.variant = variant
  }

  /// The output row of new token `i` and query head `head`, and its natural log-sum-exp.
  package func row(_ i: Int, head: Int, of request: Request) -> (output: [Double], lse: Double) {
    let kvHead = head / shape.groupSize
    let query = request.query(i, head).map(Double.init)
    let scale = variant.scale.map(Double.init) ?? 1 / Double(shape.headDimension).squareRoot()
    var place = ScorePlace()
    place.query = request.kvLength - request.queryLength + i
    place.queryHead = head
    place.kvHead = kvHead
    place.request = request.number
    place.queryLength = request.queryLength
    place.kvLength = request.kvLength

    var scores: [(position: Int, score: Double)] = []
    for position in 0..<request.kvLength {
      if let attends = request.attends, !attends(i, kvHead, position) { continue }
      place.kv = position
      guard variant.maskExpression.evaluate(score: 0, at: place, variant.parameters) != 0 else {
        continue
      }
      let product = zip(query, request.key(position, kvHead)).reduce(0.0) {
        $0 + $1.0 * Double($1.1)
      }
      scores.append(
        (
          position,
          variant.logitsExpression.evaluate(
            score: product * scale, at: place, variant.parameters)
        ))
    }
    var output = [Double](repeating: 0, count: shape.valueDimension)
    guard let top = scores.map(\.score).max(), top > -.infinity else { return (output, -.infinity) }
    let weights = scores.map { exp($0.score - top) }
    let total = weights.reduce(0, +)
    for (weight, place) in zip(weights, scores) {
      for (c, value) in request.value(place.position, kvHead).enumerated() {
        output[c] += weight / total * Double(value)
      }
    }
    return (output, top + log(total))
  }
}
