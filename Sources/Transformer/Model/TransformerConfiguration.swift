/// The hyper-parameters of a Transformer, by the names of the paper's Table 3 (arXiv 1706.03762).
public struct TransformerConfiguration: Sendable, Hashable, Codable {
  /// N: layers of the encoder, and of the decoder.
  public var layers = 6
  /// d_model: the width of embeddings and of every sub-layer's output.
  public var modelDimension = 512
  /// d_ff: the width inside a feed-forward network.
  public var feedForwardDimension = 2048
  /// h: attention heads.
  public var heads = 8
  /// d_k: elements of a head's queries and keys.
  public var keyDimension = 64
  /// d_v: elements of a head's values.
  public var valueDimension = 64
  /// P_drop: the share of elements that residual dropout drops in training.
  public var dropout: Float = 0.1
  /// ε_ls: label smoothing.
  public var labelSmoothing: Float = 0.1
  /// Where positions come from.
  public var positions = Positions.sinusoidal
  /// Where layers normalise.
  public var normalization = Normalization.post
  /// The most positions of a sequence where they are learned; sinusoids have no limit.
  public var maximumPositions = 1024
  /// Tokens of the joint vocabulary.
  public var vocabularySize = 37000

  /// How positions are encoded.
  public enum Positions: String, Sendable, Hashable, Codable, CaseIterable {
    /// §3.5's sines and cosines.
    case sinusoidal
    /// A learned vector for every position (Table 3, row E).
    case learned
  }

  /// The order of a sub-layer and its normalisation.
  public enum Normalization: String, Sendable, Hashable, Codable, CaseIterable {
    /// LayerNorm(x + Sublayer(x)), the paper's.
    case post
    /// x + Sublayer(LayerNorm(x)), with one more norm after the last layer (arXiv 2002.04745).
    case pre
  }

  /// The base model.
  public init() {}

  /// The paper's base model.
  public static let base = TransformerConfiguration()

  /// The paper's big model.
  public static let big: TransformerConfiguration = {
    var big = TransformerConfiguration()
    big.modelDimension = 1024
    big.feedForwardDimension = 4096
    big.heads = 16
    big.dropout = 0.3
    return big
  }()

  /// A model for one processor and an hour: 3 layers, d_model 256, d_ff 1024, 4 heads.
  public static let small: TransformerConfiguration = {
    var small = TransformerConfiguration()
    small.layers = 3
    small.modelDimension = 256
    small.feedForwardDimension = 1024
    small.heads = 4
    small.vocabularySize = 8000
    return small
  }()

  /// The models that have names.
  public static let named: [(name: String, configuration: TransformerConfiguration)] = [
    ("small", .small), ("base", .base), ("big", .big),
  ]

  /// Columns of all heads' queries, or keys.
  var keyColumns: Int { heads * keyDimension }
  /// Columns of all heads' values.
  var valueColumns: Int { heads * valueDimension }
  /// LayerNorm's ε.
  static let normEpsilon: Float = 1e-5

  /// A hyper-parameter out of its range.
  public struct Invalid: Error, Hashable, CustomStringConvertible {
    /// The parameter's name.
    public let name: String
    /// Its value.
    public let value: String
    /// What it may be.
    public let expected: String

    /// What is wrong, where, and what was expected.
    public var description: String { "transformer: \(name) is \(value); expected \(expected)" }
  }

  /// Throws where a hyper-parameter is out of its range.
  public func check() throws(Invalid) {
    let sizes = [
      ("N", layers), ("d_model", modelDimension), ("d_ff", feedForwardDimension), ("h", heads),
      ("d_k", keyDimension), ("d_v", valueDimension), ("positions", maximumPositions),
    ]
    for (name, size) in sizes where !(1...1 << 16).contains(size) {
      throw Invalid(name: name, value: "\(size)", expected: "1 to \(1 << 16)")
    }
    guard (4...1 << 24).contains(vocabularySize) else {
      throw Invalid(name: "vocabulary", value: "\(vocabularySize)", expected: "4 to \(1 << 24)")
    }
    for (name, rate) in [("P_drop", dropout), ("label smoothing", labelSmoothing)]
    where !(rate >= 0 && rate < 1) {
      throw Invalid(name: name, value: "\(rate)", expected: "0 or more, less than 1")
    }
    let parameters = ParameterLayout(self).count
    guard parameters < 1 << 34 else {
      throw Invalid(name: "size", value: "\(parameters) parameters", expected: "less than 2^34")
    }
  }
}
