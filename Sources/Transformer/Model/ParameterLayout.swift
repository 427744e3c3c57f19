/// Where every parameter lies in one run of floats, and what it is called.
///
/// Names and shapes are those of a PyTorch state dict: `nn.Transformer`'s under `encoder` and
/// `decoder`, `embedding.weight` shared by source, target and output (§3.4), and
/// `encoder.positions.weight` where positions are learned. Weights are outputs × inputs;
/// `in_proj_weight` holds queries', keys' and values' projections one below the other.
public struct ParameterLayout: Sendable, Hashable {
  /// One parameter.
  public struct Entry: Sendable, Hashable {
    /// Its name in checkpoints.
    public let name: String
    /// Its sizes, outermost first.
    public let shape: [Int]
    /// Its first element.
    public let offset: Int
    /// How it starts.
    let start: Start

    /// The number of its elements.
    public var count: Int { shape.reduce(1, *) }
    /// The outermost size.
    var rows: Int { shape[0] }
    /// The innermost size; 1 for a vector.
    var columns: Int { shape.count > 1 ? shape[1] : 1 }
  }

  /// How a parameter is initialised.
  enum Start: Sendable, Hashable {
    case zeros
    case ones
    /// Uniform within ±√(6 / (inputs + outputs)) (Glorot and Bengio, AISTATS 2010).
    case glorot
    /// Normal with the given standard deviation.
    case normal(deviation: Float)
  }

  /// All parameters, in the order in which they lie.
  public private(set) var entries: [Entry] = []
  /// The number of all elements.
  public private(set) var count = 0

  /// Where an attention's parameters are.
  struct Attention: Sendable, Hashable {
    var inWeight, inBias, outWeight, outBias: Int
  }

  /// Where a linear layer's parameters are.
  struct Linear: Sendable, Hashable {
    var weight, bias: Int
  }

  /// Where a layer's parameters are.
  struct Layer: Sendable, Hashable {
    var selfAttention: Attention
    var selfNorm: Linear
    var crossAttention: Attention?
    var crossNorm: Linear?
    var inner, outer: Linear
    var feedForwardNorm: Linear
  }

  /// Where an encoder's or a decoder's parameters are.
  struct Stack: Sendable, Hashable {
    var positions: Int?
    var layers: [Layer]
    var norm: Linear?
  }

  var embedding = 0
  var encoder = Stack(layers: [])
  var decoder = Stack(layers: [])

  /// The layout of a model.
  public init(_ configuration: TransformerConfiguration) {
    let d = configuration.modelDimension
    embedding = add(
      "embedding.weight", [configuration.vocabularySize, d],
      .normal(deviation: 1 / Float(d).squareRoot()))
    encoder = stack("encoder", configuration, isDecoder: false)
    decoder = stack("decoder", configuration, isDecoder: true)
  }

  private mutating func add(_ name: String, _ shape: [Int], _ start: Start) -> Int {
    entries.append(Entry(name: name, shape: shape, offset: count, start: start))
    // Every parameter begins at a cache line.
    defer { count += (shape.reduce(1, *) + 15) / 16 * 16 }
    return count
  }

  private mutating func linear(_ name: String, _ outputs: Int, _ inputs: Int) -> Linear {
    Linear(
      weight: add("\(name).weight", [outputs, inputs], .glorot),
      bias: add("\(name).bias", [outputs], .zeros))
  }

  private mutating func norm(_ name: String, _ width: Int) -> Linear {
    Linear(
      weight: add("\(name).weight", [width], .ones), bias: add("\(name).bias", [width], .zeros))
  }

  private mutating func attention(
    _ name: String, _ configuration: TransformerConfiguration
  ) -> Attention {
    let d = configuration.modelDimension
    let columns = 2 * configuration.keyColumns + configuration.valueColumns
    return Attention(
      inWeight: add("\(name).in_proj_weight", [columns, d], .glorot),
      inBias: add("\(name).in_proj_bias", [columns], .zeros),
      outWeight: add("\(name).out_proj.weight", [d, configuration.valueColumns], .glorot),
      outBias: add("\(name).out_proj.bias", [d], .zeros))
  }

  private mutating func stack(
    _ name: String, _ configuration: TransformerConfiguration, isDecoder: Bool
  ) -> Stack {
    let d = configuration.modelDimension
    var positions: Int?
    if configuration.positions == .learned {
      positions = add(
        "\(name).positions.weight", [configuration.maximumPositions, d],
        .normal(deviation: 1 / Float(d).squareRoot()))
    }
    let layers = (0..<configuration.layers).map { i in
      let layer = "\(name).layers.\(i)"
      let selfAttention = attention("\(layer).self_attn", configuration)
      let crossAttention =
        isDecoder ? attention("\(layer).multihead_attn", configuration) : nil
      let inner = linear("\(layer).linear1", configuration.feedForwardDimension, d)
      let outer = linear("\(layer).linear2", d, configuration.feedForwardDimension)
      let selfNorm = norm("\(layer).norm1", d)
      let crossNorm = isDecoder ? norm("\(layer).norm2", d) : nil
      return Layer(
        selfAttention: selfAttention, selfNorm: selfNorm, crossAttention: crossAttention,
        crossNorm: crossNorm, inner: inner, outer: outer,
        feedForwardNorm: norm("\(layer).norm\(isDecoder ? 3 : 2)", d))
    }
    return Stack(
      positions: positions, layers: layers,
      norm: configuration.normalization == .pre ? norm("\(name).norm", d) : nil)
  }
}
