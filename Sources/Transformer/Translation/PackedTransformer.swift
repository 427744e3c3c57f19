internal import Devices
internal import Tensors

/// A model's weights packed for inference.
final class PackedTransformer: Sendable {
  struct Attention: Sendable {
    /// All three projections (self-attention), or the queries' and the memory's.
    let queries: LinearWeights
    let memory: LinearWeights?
    let output: LinearWeights
  }

  struct Norm: Sendable {
    let weight, bias: Int
  }

  struct Layer: Sendable {
    let selfAttention: Attention
    let selfNorm: Norm
    let crossAttention: Attention?
    let crossNorm: Norm?
    let inner, outer: LinearWeights
    let feedForwardNorm: Norm
  }

  struct Stack: Sendable {
    let layers: [Layer]
    let positions: Int?
    let norm: Norm?
  }

  let model: TransformerModel
  let device: CPUDevice
  let encoder: Stack
  let decoder: Stack
  let output: LinearWeights

  init(
    _ model: TransformerModel, precision: WeightPrecision, device: CPUDevice
  ) throws(LinearWeights.Failure) {
    self.model = model
    self.device = device
    let c = model.configuration
    let weights = model.weights
    let d = c.modelDimension
    func linear(
      _ weight: Int, _ bias: Int, _ outputs: Range<Int>, _ inputs: Int
    ) throws(LinearWeights.Failure) -> LinearWeights {
      let terms = UnsafeBufferPointer(
        start: weights.base(bias) + outputs.lowerBound, count: outputs.count)
      return try precision.pack(
        weights.matrix(weight, outputs.count, inputs, from: outputs.lowerBound),
        bias: Array(terms), on: device)
    }
    func attention(
      _ layout: ParameterLayout.Attention, isCross: Bool
    ) throws(LinearWeights.Failure) -> Attention {
      let all = 2 * c.keyColumns + c.valueColumns
      return Attention(
        queries: try linear(
          layout.inWeight, layout.inBias, 0..<(isCross ? c.keyColumns : all), d),
        memory: isCross
          ? try linear(layout.inWeight, layout.inBias, c.keyColumns..<all, d) : nil,
        output: try linear(layout.outWeight, layout.outBias, 0..<d, c.valueColumns))
    }
    func norm(_ layout: ParameterLayout.Linear) -> Norm {
      Norm(weight: layout.weight, bias: layout.bias)
    }
    func stack(_ layout: ParameterLayout.Stack) throws(LinearWeights.Failure) -> Stack {
      var layers: [Layer] = []
      for layer in layout.layers {
        var cross: Attention?
        if let parameters = layer.crossAttention {
          cross = try attention(parameters, isCross: true)
        }
        layers.append(
          Layer(
            selfAttention: try attention(layer.selfAttention, isCross: false),
            selfNorm: norm(layer.selfNorm), crossAttention: cross,
            crossNorm: layer.crossNorm.map(norm),
            inner: try linear(
              layer.inner.weight, layer.inner.bias, 0..<c.feedForwardDimension, d),
            outer: try linear(
              layer.outer.weight, layer.outer.bias, 0..<d, c.feedForwardDimension),
            feedForwardNorm: norm(layer.feedForwardNorm)))
      }
      return Stack(
        layers: layers, positions: layout.positions, norm: layout.norm.map(norm))
    }
    encoder = try stack(weights.layout.encoder)
    decoder = try stack(weights.layout.decoder)
    output = try precision.pack(
      weights.matrix(weights.layout.embedding, c.vocabularySize, d), bias: nil, on: device)
  }
}
