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
  /// softmax o = Σ z·v. Functors on vectors come before q, k and v, and after o.
  ///
  /// - Parameters:
  ///   - outputGradient: The loss's gradient by the output of a new token and query head.
  ///   - lseGradient: The loss's gradient by its log-sum-exp.
  package func gradient(
    of request: Request, outputGradient: (_ i: Int, _ head: Int) -> [Double],
    lseGradient: (_ i: Int, _ head: Int) -> Double = { _, _ in 0 }
  ) -> Gradient {
    var gradient = Gradient(shape, variant, request)
    let differentials = Differentials(variant)
    for i in 0..<request.queryLength {
      for head in 0..<shape.queryHeads {
        addRow(
          i, head: head, of: request, differentials, outputGradient(i, head),
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

  /// A functor on vectors with its derivatives.
  private struct VectorDifferential {
    let parameters: Differential
    /// By each element that it reads.
    let byElements: [(partner: Expression.Partner, slope: Expression)]

    init(_ functor: Functor, _ variant: AttentionVariant) {
      parameters = Differential(functor.expression, variant)
      byElements = functor.expression.partners.map {
        ($0, functor.expression.derivative(by: .element($0)))
      }
    }
  }

  /// All functors of a variant with their derivatives.
  private struct Differentials {
    let logits: Differential
    let sinks: [Differential]
    let vectors: [Functor.Kind: [VectorDifferential]]

    init(_ variant: AttentionVariant) {
      logits = Differential(variant.logitsExpression, variant)
      sinks = variant.functors.filter { $0.kind == .sink }.map {
        Differential($0.expression, variant)
      }
      vectors = Dictionary(grouping: variant.functors.filter { $0.kind != .sink }, by: \.kind)
        .mapValues { $0.map { VectorDifferential($0, variant) } }
    }
  }

  /// A vector on its way through the functors of a kind: what went into each, and what came out.
  private struct Path {
    let functors: [VectorDifferential]
    var inputs: [[Double]] = []
    var result: [Double]
  }

  private func path(
    _ vector: [Double], _ functors: [VectorDifferential]?, at place: ScorePlace,
    _ surroundings: Surroundings
  ) -> Path {
    var path = Path(functors: functors ?? [], result: vector)
    var (place, surroundings) = (place, surroundings)
    place.dimensionCount = vector.count
    for functor in path.functors {
      path.inputs.append(path.result)
      surroundings.vector = path.result
      for d in vector.indices {
        place.dimension = d
        path.result[d] = functor.parameters.value.evaluate(at: place, in: surroundings)
      }
    }
    return path
  }

  /// The gradient by what went in, of the gradient by what came out; parameters get theirs.
  private func pulledBack(
    _ outer: [Double], along path: Path, at place: ScorePlace, _ surroundings: Surroundings,
    _ gradient: inout Gradient
  ) -> [Double] {
    var (place, surroundings, outer) = (place, surroundings, outer)
    place.dimensionCount = outer.count
    for (functor, input) in zip(path.functors, path.inputs).reversed() {
      surroundings.vector = input
      var inner = outer.map { _ in 0.0 }
      for d in outer.indices {
        place.dimension = d
        for (partner, slope) in functor.byElements {
          inner[partner(d, of: input.count)] +=
            outer[d] * slope.evaluate(at: place, in: surroundings)
        }
        functor.parameters.add(outer[d], head: place.queryHead, to: &gradient) {
          $0.evaluate(at: place, in: surroundings)
        }
      }
      outer = inner
    }
    return outer
  }

  private func addRow(
    _ i: Int, head: Int, of request: Request, _ differentials: Differentials,
    _ outputGradient: [Double], _ lseGradient: Double, to gradient: inout Gradient
  ) {
    let kvHead = head / shape.groupSize
    let lse = row(i, head: head, of: request).lse
    var place = place(of: i, head: head, in: request)
    let rowPlace = place
    var surroundings = surroundings
    func at(_ expression: Expression) -> Double { expression.evaluate(at: place, in: surroundings) }

    // Forward, key by key.
    let (logits, vectors) = (differentials.logits, differentials.vectors)
    let query = path(
      request.query(i, head).map(Double.init), vectors[.query], at: place, surroundings)
    var terms: [(position: Int, score: Double, z: Double, key: Path, value: Path)] = []
    var sum = [Double](repeating: 0, count: shape.valueDimension)
    for position in 0..<request.kvLength {
      place.kv = position
      surroundings.score = 0
      if at(variant.maskExpression) == 0 { continue }
      let key = path(
        request.key(position, kvHead).map(Double.init), vectors[.key], at: place, surroundings)
      let value = path(
        request.value(position, kvHead).map(Double.init), vectors[.value], at: place, surroundings)
      surroundings.score = scale * zip(query.result, key.result).reduce(0) { $0 + $1.0 * $1.1 }
      let z = at(logits.value)
      terms.append((position, surroundings.score, z, key, value))
      let weight = variant.usesSoftmax ? exp(z - lse) : z
      for c in sum.indices { sum[c] += weight * value.result[c] }
    }
    let isEmpty = variant.usesSoftmax && lse == -.infinity
    if isEmpty { sum = sum.map { _ in 0 } }

    // Backward, from the output's functors on.
    let output = path(sum, vectors[.output], at: rowPlace, surroundings)
    let outer = pulledBack(outputGradient, along: output, at: rowPlace, surroundings, &gradient)
    if isEmpty { return }
    let mean = zip(sum, outer).reduce(0) { $0 + $1.0 * $1.1 }
    place = rowPlace
    for sink in differentials.sinks {
      sink.add(exp(at(sink.value) - lse) * (lseGradient - mean), head: head, to: &gradient, at)
    }
    var byQuery = query.result.map { _ in 0.0 }
    for (position, score, z, key, value) in terms {
      place.kv = position
      surroundings.score = score
      let weight = variant.usesSoftmax ? exp(z - lse) : z
      let along = zip(value.result, outer).reduce(0) { $0 + $1.0 * $1.1 }
      let dz = variant.usesSoftmax ? weight * (along - mean + lseGradient) : along
      logits.add(dz, head: head, to: &gradient, at)
      let dx = dz * at(logits.byScore) * scale
      for c in byQuery.indices { byQuery[c] += dx * key.result[c] }
      let byKey = pulledBack(
        query.result.map { dx * $0 }, along: key, at: place, surroundings, &gradient)
      let byValue = pulledBack(
        outer.map { weight * $0 }, along: value, at: place, surroundings, &gradient)
      for c in byKey.indices { gradient.keys[position][kvHead][c] += byKey[c] }
      for c in byValue.indices { gradient.values[position][kvHead][c] += byValue[c] }
    }
    let inner = pulledBack(byQuery, along: query, at: rowPlace, surroundings, &gradient)
    for c in inner.indices { gradient.queries[i][head][c] += inner[c] }
  }
}
