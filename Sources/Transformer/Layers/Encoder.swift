internal import Attention
internal import Tensors

/// §3.1: a stack of identical layers of self-attention and a feed-forward network.
struct Encoder {
  private struct Layer {
    let attention: Sublayer<MultiHeadAttention>
    let feedForward: Sublayer<FeedForward>
  }

  struct Record {
    fileprivate var layers: [(Sublayer<MultiHeadAttention>.Record, Sublayer<FeedForward>.Record)] =
      []
    fileprivate var norm: LayerNormalization.Record?
  }

  private let layers: [Layer]
  private let norm: LayerNormalization?

  init(_ layout: ParameterLayout.Stack, _ step: Step) {
    layers = layout.layers.map { layer in
      Layer(
        attention: Sublayer(
          function: MultiHeadAttention(
            parameters: layer.selfAttention, attention: step.encoderAttention, memory: nil),
          norm: LayerNormalization(parameters: layer.selfNorm)),
        feedForward: Sublayer(
          function: FeedForward(inner: layer.inner, outer: layer.outer),
          norm: LayerNormalization(parameters: layer.feedForwardNorm)))
    }
    norm = layout.norm.map { LayerNormalization(parameters: $0) }
  }

  func forward(_ x: MatrixView, _ step: Step) throws(DifferentiableAttention.Failure) -> (
    MatrixView, Record
  ) {
    var x = x
    var record = Record()
    for layer in layers {
      let (attended, first) = try layer.attention.forward(x, step)
      let (fed, second) = try layer.feedForward.forward(attended, step)
      record.layers.append((first, second))
      x = fed
    }
    guard let norm else { return (x, record) }
    let (y, normed) = norm.forward(x, adding: nil, step)
    record.norm = normed
    return (y, record)
  }

  /// `gradient` by the result becomes that by x.
  func backward(_ gradient: MatrixView, _ record: Record, _ step: Step)
    throws(DifferentiableAttention.Failure)
  {
    if let norm, let normed = record.norm { norm.backward(gradient, normed, step) }
    for (layer, record) in zip(layers, record.layers).reversed() {
      try layer.feedForward.backward(gradient, record.1, step)
      try layer.attention.backward(gradient, record.0, step)
    }
  }
}
