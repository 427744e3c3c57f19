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

  /// The data of the variant's tensors, and the lengths of the batch that it belongs to.
  package let tensors: VariantTensors
  package let lengths: [(query: Int, kv: Int)]

  /// The reference for a shape and a variant.
  package init(
    shape: AttentionShape, variant: AttentionVariant, tensors: VariantTensors = VariantTensors(),
    lengths: [(query: Int, kv: Int)] = []
  ) {
    self.shape = shape
    self.variant = variant
    self.tensors = tensors
    self.lengths = lengths
  }

  /// The output row of new token `i` and query head `head`, and its natural log-sum-exp (−∞ where
  /// the variant has none).
  package func row(_ i: Int, head: Int, of request: Request) -> (output: [Double], lse: Double) {
    let kvHead = head / shape.groupSize
    var place = place(of: i, head: head, in: request)
    var surroundings = surroundings

    let query = transformed(request.query(i, head), by: .query, at: place, surroundings)
    var scores: [(position: Int, score: Double)] = []
    for position in 0..<request.kvLength {
      if let attends = request.attends, !attends(i, kvHead, position) { continue }
      place.kv = position
      guard variant.maskExpression.evaluate(at: place, in: surroundings) != 0 else { continue }
      let key = transformed(request.key(position, kvHead), by: .key, at: place, surroundings)
      surroundings.score = zip(query, key).reduce(0) { $0 + $1.0 * $1.1 } * scale
      scores.append(
        (position, variant.logitsExpression.evaluate(at: place, in: surroundings)))
    }
    let (weights, lse) = weights(of: scores.map(\.score), at: place, surroundings)
    var output = [Double](repeating: 0, count: shape.valueDimension)
    for (weight, score) in zip(weights, scores) {
      place.kv = score.position
      let value = transformed(
        request.value(score.position, kvHead), by: .value, at: place, surroundings)
      for c in output.indices { output[c] += weight * value[c] }
    }
    output = transformed(output, by: .output, at: place, surroundings)
    return (output, lse)
  }

  /// The factor of q·k.
  var scale: Double {
    variant.scale.map(Double.init) ?? 1 / Double(shape.headDimension).squareRoot()
  }

  /// Where new token `i` and query head `head` stand; the key's position is still 0.
  func place(of i: Int, head: Int, in request: Request) -> ScorePlace {
    var place = ScorePlace()
    place.query = request.kvLength - request.queryLength + i
    place.queryHead = head
    place.kvHead = head / shape.groupSize
    place.request = request.number
    place.queryLength = request.queryLength
    place.kvLength = request.kvLength
    return place
  }

  /// What the variant's expressions read beside scores and vectors.
  var surroundings: Surroundings {
    var surroundings = Surroundings()
    surroundings.parameters = variant.parameters
    surroundings.tensor = entry
    surroundings.bit = bit
    surroundings.isBound = isBound
    return surroundings
  }

  /// What scores weigh: their softmax with the sinks in its denominator, or themselves.
  private func weights(of scores: [Double], at place: ScorePlace, _ surroundings: Surroundings)
    -> (weights: [Double], lse: Double)
  {
    if !variant.usesSoftmax { return (scores, -.infinity) }
    let sinks = variant.functors.filter { $0.kind == .sink }.map {
      $0.expression.evaluate(at: place, in: surroundings)
    }
    guard let top = (scores + sinks).max(), top > -.infinity else {
      return (scores.map { _ in 0 }, -.infinity)
    }
    let total = (scores + sinks).map { exp($0 - top) }.reduce(0, +)
    return (scores.map { exp($0 - top) / total }, top + log(total))
  }

  private func transformed(
    _ vector: [Float], by kind: Functor.Kind, at place: ScorePlace, _ surroundings: Surroundings
  ) -> [Double] {
    transformed(vector.map(Double.init), by: kind, at: place, surroundings)
  }

  private func transformed(
    _ vector: [Double], by kind: Functor.Kind, at place: ScorePlace, _ surroundings: Surroundings
  ) -> [Double] {
    var (vector, surroundings, place) = (vector, surroundings, place)
    place.dimensionCount = vector.count
    for functor in variant.functors where functor.kind == kind {
      surroundings.vector = vector
      for d in vector.indices {
        place.dimension = d
        vector[d] = functor.expression.evaluate(at: place, in: surroundings)
      }
    }
    return vector
  }

  private func entry(_ number: Int, _ row: Expression.TensorRow, _ place: ScorePlace) -> Double {
    let tensor = variant.declarations.tensors[number]
    if let data = variant.parameters.tensors[number] { return Double(data[place.dimension]) }
    guard let data = tensors[tensor.name] else { return .nan }
    let (heads, head) =
      switch tensor.heads {
      case .none: (1, 0)
      case .query: (shape.queryHeads, place.queryHead)
      case .kv: (shape.kvHeads, place.kvHead)
      }
    let before = lengths.prefix(place.request)
    let index =
      switch row {
      case .key: before.map(\.kv).reduce(0, +) + place.kv
      case .query: before.map(\.kv).reduce(0, +) + max(place.query, 0)
      case .queryRow: before.map(\.query).reduce(0, +) + place.queryRow
      case .request: place.request
      case .only: 0
      }
    return Double(data[index * heads + head])
  }

  private func bit(_ number: Int, _ place: ScorePlace) -> Bool {
    guard let bytes = tensors[mask: variant.declarations.masks[number].name] else { return false }
    let before = lengths.prefix(place.request).map { ($0.query * $0.kv + 7) / 8 }.reduce(0, +)
    let bit = place.queryRow * place.kvLength + place.kv
    return bytes[before + bit / 8] >> UInt8(bit % 8) & 1 == 1
  }

  private func isBound(_ nullable: Expression.Nullable) -> Bool {
    switch nullable {
    case .parameter(let i): variant.parameters.scalars[i] != nil
    case .tensor(let i):
      variant.parameters.tensors[i] != nil || tensors[variant.declarations.tensors[i].name] != nil
    case .mask(let i): tensors[mask: variant.declarations.masks[i].name] != nil
    }
  }
}
