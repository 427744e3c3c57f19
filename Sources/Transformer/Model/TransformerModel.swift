/// The encoder–decoder Transformer: hyper-parameters and weights.
///
/// A Vaswani et al. model (*Attention Is All You Need*, arXiv 1706.03762): see
/// ``TransformerConfiguration`` for its sizes, ``Gradient`` for training and ``Translator`` for use.
public final class TransformerModel: Sendable {
  /// The hyper-parameters.
  public let configuration: TransformerConfiguration
  /// The weights.
  public let weights: Parameters

  /// A model with given weights, in the layout of the configuration.
  public init(
    _ configuration: TransformerConfiguration, weights: Parameters
  ) throws(TransformerConfiguration.Invalid) {
    try configuration.check()
    precondition(weights.layout == ParameterLayout(configuration), "weights of another model")
    self.configuration = configuration
    self.weights = weights
  }

  /// A model with random weights.
  public convenience init(
    _ configuration: TransformerConfiguration, seed: UInt64
  ) throws(TransformerConfiguration.Invalid) {
    try configuration.check()
    let weights = Parameters(ParameterLayout(configuration))
    weights.initialize(seed: seed)
    try self.init(configuration, weights: weights)
  }
}
