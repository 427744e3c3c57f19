internal import Attention
internal import Tensors

/// §3.1: a stack of identical layers of masked self-attention, attention over the encoder's output
/// and a feed-forward network.
struct Decoder {
  private struct Layer {
    let selfAttention: Sublayer<MultiHeadAttention>
    let crossAttention: Sublayer<MultiHeadAttention>
    let feedForward: Sublayer<FeedForward>
  }

  struct Record {
    var layers:
      [(
        Sublayer<MultiHeadAttention>.Record, Sublayer<MultiHeadAttention>.Record,
        Sublayer<FeedForward>.Record
      )] = []
    fileprivate var norm: LayerNormalization.Record?
  }

  private let layers: [Layer]
  private let norm: LayerNormalization?

  init(
    _ layout: ParameterLayout.Stack, memory: (value: MatrixView, gradient: MatrixView),
    _ step: Step
  ) {
    layers = layout.layers.compactMap { layer in
      guard let cross = layer.crossAttention, let crossNorm = layer.crossNorm else { return nil }
      return Layer(
        selfAttention: Sublayer(
          function: MultiHeadAttention(
            parameters: layer.selfAttention, attention: step.decoderAttention, memory: nil),
          norm: LayerNormalization(parameters: layer.selfNorm)),
        crossAttention: Sublayer(
          function: MultiHeadAttention(
            parameters: cross, attention: step.crossAttention, memory: memory),
          norm: LayerNormalization(parameters: crossNorm)),
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
      let (attended, first) = try layer.selfAttention.forward(x, step)
      let (crossed, second) = try layer.crossAttention.forward(attended, step)
      let (fed, third) = try layer.feedForward.forward(crossed, step)
      record.layers.append((first, second, third))
      x = fed
    }
    guard let norm else { return (x, record) }
    let (y, normed) = norm.forward(x, adding: nil, step)
    record.norm = normed
    return (y, record)
  }

  /// `gradient` by the result becomes that by x; the memory's gradient is added to.
  func backward(_ gradient: MatrixView, _ record: Record, _ step: Step)
    throws(DifferentiableAttention.Failure)
  {
    if let norm, let normed = record.norm { norm.backward(gradient, normed, step) }
    for (layer, record) in zip(layers, record.layers).reversed() {
      try layer.feedForward.backward(gradient, record.2, step)
      try layer.crossAttention.backward(gradient, record.1, step)
      try layer.selfAttention.backward(gradient, record.0, step)
    }
  }
}
