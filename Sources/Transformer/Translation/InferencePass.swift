internal import Attention
internal import Devices
internal import Tensors

/// What encoding and decoding have in common: a pass of tokens through packed layers.
struct InferencePass {
  let packed: PackedTransformer
  let arena: Arena

  var configuration: TransformerConfiguration { packed.model.configuration }
  private var weights: Parameters { packed.model.weights }

  /// Embeddings scaled by √d plus positions, one position for each token.
  func embed(
    _ tokens: [Int32], positions: [Int], _ table: SinusoidalPositions,
    _ stack: PackedTransformer.Stack
  ) -> MatrixView {
    let d = configuration.modelDimension
    let x = arena.matrix(tokens.count, d)
    let embedding = weights.base(weights.layout.embedding)
    let learned = stack.positions.map { UnsafePointer(weights.base($0)) }
    table.rows.withUnsafeBufferPointer { sinusoids in
      guard let rows = learned ?? sinusoids.baseAddress else { return }
      for (i, token) in tokens.enumerated() {
        packed.device.combine(
          embedding + Int(token) * d, Float(d).squareRoot(), rows + positions[i] * d, 1,
          into: x.row(i), count: d)
      }
    }
    return x
  }

  func linear(_ x: MatrixView, _ weights: LinearWeights) -> MatrixView {
    let y = arena.matrix(x.rows, weights.outputs)
    weights.multiply(x, into: y)
    return y
  }

  func norm(_ x: MatrixView, adding delta: MatrixView?, _ norm: PackedTransformer.Norm)
    -> MatrixView
  {
    let y = arena.matrix(x.rows, x.columns)
    packed.device.layerNorm(
      x, adding: delta, sum: delta ?? x, weight: weights.base(norm.weight),
      bias: weights.base(norm.bias), epsilon: TransformerConfiguration.normEpsilon, into: y,
      statistics: arena.matrix(x.rows, 2))
    return y
  }

  /// A sub-layer with its residual connection, post-norm or pre-norm.
  func sublayer<Failure: Error>(
    _ x: MatrixView, _ layerNorm: PackedTransformer.Norm,
    _ function: (MatrixView) throws(Failure) -> MatrixView
  ) throws(Failure) -> MatrixView {
    switch configuration.normalization {
    case .post: return norm(x, adding: try function(x), layerNorm)
    case .pre:
      let f = try function(norm(x, adding: nil, layerNorm))
      // Shapes are the model's own.
      try? packed.device.add(x, to: f)
      return f
    }
  }

  func feedForward(_ x: MatrixView, _ layer: PackedTransformer.Layer) -> MatrixView {
    sublayer(x, layer.feedForwardNorm) { y in
      let hidden = linear(y, layer.inner)
      packed.device.rectifierGradient(hidden, of: hidden)
      return linear(hidden, layer.outer)
    }
  }

  /// The columns of queries, keys and values of a projection.
  func parts(_ projected: MatrixView) -> (q: MatrixView, k: MatrixView, v: MatrixView) {
    let c = configuration
    let (k, v) = memoryParts(projected.columns(c.keyColumns..<projected.columns))
    return (projected.columns(0..<c.keyColumns), k, v)
  }

  /// The columns of keys and values of a memory's projection.
  func memoryParts(_ projected: MatrixView) -> (k: MatrixView, v: MatrixView) {
    let c = configuration
    return (
      projected.columns(0..<c.keyColumns),
      projected.columns(c.keyColumns..<c.keyColumns + c.valueColumns)
    )
  }
}
