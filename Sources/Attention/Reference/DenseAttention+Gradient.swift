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
  /// ∂o/∂v = p, ∂o/∂z = p·(v − o) and ∂lse/∂z = p. A sink is a logit without key and value; without
  /// softmax o = Σ z·v. Functors on vectors are left out.
  ///
  /// - Parameters:
  ///   - outputGradient: The loss's gradient by the output of a new token and query head.
  ///   - lseGradient: The loss's gradient by its log-sum-exp.
  package func gradient(
    of request: Request, outputGradient: (_ i: Int, _ head: Int) -> [Double],
    lseGradient: (_ i: Int, _ head: Int) -> Double = { _, _ in 0 }
  ) -> Gradient {
    var gradient = Gradient(shape, variant, request)
    let logits = Differential(variant.logitsExpression, variant)
    let sinks = variant.functors.filter { $0.kind == .sink }.map {
      Differential($0.expression, variant)
    }
    for i in 0..<request.queryLength {
      for head in 0..<shape.queryHeads {
        addRow(
          i, head: head, of: request, logits, sinks, outputGradient(i, head),
          lseGradient(i, head), to: &gradient)
      }
    }
    return gradient
  }

  /// An expression with its derivatives.
  private struct Differential {
    let value: Expression
    let byScore: Expression
    let byScalars: [Expression]
    let byVectors: [Expression]

    init(_ value: Expression, _ variant: AttentionVariant) {
      self.value = value
      byScore = value.derivative(by: .score)
      byScalars = variant.parameters.scalars.indices.map { value.derivative(by: .parameter($0)) }
      byVectors = variant.parameters.vectors.indices.map { value.derivative(by: .perHead($0)) }
    }

    /// Adds the gradient by parameters of a value whose own gradient is `dz`.
    func add(
      _ dz: Double, head: Int, to gradient: inout Gradient, _ value: (Expression) -> Double
    ) {
      for (i, slope) in byScalars.enumerated() { gradient.scalars[i] += dz * value(slope) }
      for (i, slope) in byVectors.enumerated() { gradient.vectors[i][head] += dz * value(slope) }
    }
  }

  private func addRow(
    _ i: Int, head: Int, of request: Request, _ logits: Differential, _ sinks: [Differential],
    _ outputGradient: [Double], _ lseGradient: Double, to gradient: inout Gradient
  ) {
    let kvHead = head / shape.groupSize
    let (output, lse) = row(i, head: head, of: request)
    if variant.usesSoftmax && lse == -.infinity { return }
    let query = request.query(i, head).map(Double.init)
    var place = place(of: i, head: head, in: request)
    var surroundings = surroundings
    func at(_ expression: Expression) -> Double { expression.evaluate(at: place, in: surroundings) }

    let mean = zip(output, outputGradient).reduce(0) { $0 + $1.0 * $1.1 }
    for sink in sinks {
      sink.add(exp(at(sink.value) - lse) * (lseGradient - mean), head: head, to: &gradient, at)
    }
    for position in 0..<request.kvLength {
      place.kv = position
      surroundings.score = 0
      if at(variant.maskExpression) == 0 { continue }
      let key = request.key(position, kvHead).map(Double.init)
      let value = request.value(position, kvHead).map(Double.init)
      surroundings.score = scale * zip(query, key).reduce(0) { $0 + $1.0 * $1.1 }
      let z = at(logits.value)
      let weight = variant.usesSoftmax ? exp(z - lse) : z
      let along = zip(value, outputGradient).reduce(0) { $0 + $1.0 * $1.1 }
      let dz = variant.usesSoftmax ? weight * (along - mean + lseGradient) : along
      for c in value.indices {
        gradient.values[position][kvHead][c] += weight * outputGradient[c]
      }
      logits.add(dz, head: head, to: &gradient, at)
      let dx = dz * at(logits.byScore)
      for c in key.indices {
        gradient.queries[i][head][c] += dx * scale * key[c]
        gradient.keys[position][kvHead][c] += dx * scale * query[c]
      }
    }
  }
}
