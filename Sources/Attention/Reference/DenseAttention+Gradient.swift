import Glibc

extension DenseAttention {
  /// The gradient of a loss by one request's tensors and by the variant's parameters, in Double.
  package struct Gradient {
    /// By the query of a new token and query head.
    package var queries: [[[Double]]]
    /// By the key of a position and kv head.
    package var keys: [[[Double]]]
    /// By the value of a position and kv head.
    package var values: [[[Double]]]
    /// By the scalar parameters.
    package var scalars: [Double]
    /// By the per-head vectors, one for each query head.
    package var vectors: [[Double]]

    fileprivate init(_ shape: AttentionShape, _ variant: AttentionVariant, _ request: Request) {
      func zeros(_ rows: Int, _ heads: Int, _ dimension: Int) -> [[[Double]]] {
        let row = [Double](repeating: 0, count: dimension)
        return [[[Double]]](repeating: [[Double]](repeating: row, count: heads), count: rows)
      }
      queries = zeros(request.queryLength, shape.queryHeads, shape.headDimension)
      keys = zeros(request.kvLength, shape.kvHeads, shape.headDimension)
      values = zeros(request.kvLength, shape.kvHeads, shape.valueDimension)
      scalars = variant.parameters.scalars.map { _ in 0 }
      vectors = variant.parameters.vectors.map { $0.map { _ in 0 } }
    }
  }

  /// The chain rule written down score by score.
  ///
  /// With x = scale·q·k, z = logits(x), p = e^z / Σ e^z and o = Σ p·v,
  /// ∂o/∂v = p, ∂o/∂z = p·(v − o) and ∂lse/∂z = p.
  ///
  /// - Parameters:
  ///   - outputGradient: The loss's gradient by the output of a new token and query head.
  ///   - lseGradient: The loss's gradient by its log-sum-exp.
  package func gradient(
    of request: Request, outputGradient: (_ i: Int, _ head: Int) -> [Double],
    lseGradient: (_ i: Int, _ head: Int) -> Double = { _, _ in 0 }
  ) -> Gradient {
    var gradient = Gradient(shape, variant, request)
    let slopes = Slopes(variant)
    for i in 0..<request.queryLength {
      for head in 0..<shape.queryHeads {
        addRow(
          i, head: head, of: request, slopes, outputGradient(i, head), lseGradient(i, head),
          to: &gradient)
      }
    }
    return gradient
  }

  /// The derivatives of the logits.
  private struct Slopes {
    let score: Expression
    let scalars: [Expression]
    let vectors: [Expression]

    init(_ variant: AttentionVariant) {
      let logits = variant.logitsExpression
      score = logits.derivative(by: .score)
      scalars = variant.parameters.scalars.indices.map { logits.derivative(by: .parameter($0)) }
      vectors = variant.parameters.vectors.indices.map { logits.derivative(by: .perHead($0)) }
    }
  }

  private func addRow(
    _ i: Int, head: Int, of request: Request, _ slopes: Slopes, _ outputGradient: [Double],
    _ lseGradient: Double, to gradient: inout Gradient
  ) {
    let kvHead = head / shape.groupSize
    let (output, lse) = row(i, head: head, of: request)
    guard lse > -.infinity else { return }
    let query = request.query(i, head).map(Double.init)
    let scale = variant.scale.map(Double.init) ?? 1 / Double(shape.headDimension).squareRoot()
    var place = ScorePlace()
    place.query = request.kvLength - request.queryLength + i
    place.queryHead = head
    place.kvHead = kvHead
    place.request = request.number
    place.queryLength = request.queryLength
    place.kvLength = request.kvLength
    for position in 0..<request.kvLength {
      place.kv = position
      guard variant.maskExpression.evaluate(score: 0, at: place, variant.parameters) != 0 else {
        continue
      }
      let key = request.key(position, kvHead).map(Double.init)
      let value = request.value(position, kvHead).map(Double.init)
      let x = scale * zip(query, key).reduce(0) { $0 + $1.0 * $1.1 }
      func at(_ expression: Expression) -> Double {
        expression.evaluate(score: x, at: place, variant.parameters)
      }
      let p = exp(at(variant.logitsExpression) - lse)
      var dz = lseGradient * p
      for c in value.indices {
        gradient.values[position][kvHead][c] += p * outputGradient[c]
        dz += p * (value[c] - output[c]) * outputGradient[c]
      }
      for (parameter, slope) in slopes.scalars.enumerated() {
        gradient.scalars[parameter] += dz * at(slope)
      }
      for (vector, slope) in slopes.vectors.enumerated() {
        gradient.vectors[vector][head] += dz * at(slope)
      }
      let dx = dz * at(slopes.score)
      for c in key.indices {
        gradient.queries[i][head][c] += dx * scale * key[c]
        gradient.keys[position][kvHead][c] += dx * scale * query[c]
      }
    }
  }
}
