import ArgumentParser
import Devices
import Transformer

/// A value by its name, or an error that lists the names.
func choice<Value: RawRepresentable & CaseIterable>(_ name: String) throws -> Value
where Value.RawValue == String {
  guard let value = Value(rawValue: name) else {
    let names = Value.allCases.map(\.rawValue).joined(separator: ", ")
    throw ValidationError("\(name) is not one of \(names)")
  }
  return value
}

/// The hyper-parameters of a Transformer (Table 3 of arXiv 1706.03762).
struct TransformerOptions: ParsableArguments {
  @Option(help: "A named model: small, base or big; the other options change it.")
  var model = "small"

  @Option(help: "N: layers of the encoder and of the decoder.")
  var layers: Int?

  @Option(help: "The width of embeddings and sub-layers.")
  var dModel: Int?

  @Option(help: "The width inside feed-forward networks.")
  var dFf: Int?

  @Option(help: "h: attention heads.")
  var heads: Int?

  @Option(help: "Elements of a head's keys (default: d_model / h).")
  var dK: Int?

  @Option(help: "Elements of a head's values (default: d_k).")
  var dV: Int?

  @Option(help: "P_drop: residual dropout.")
  var dropout: Float?

  @Option(help: "ε_ls: label smoothing.")
  var labelSmoothing: Float?

  @Option(help: "sinusoidal or learned positions.", transform: choice)
  var positions: TransformerConfiguration.Positions?

  @Option(help: "post (the paper's) or pre: where layers normalise.", transform: choice)
  var norm: TransformerConfiguration.Normalization?

  func configuration(vocabulary: Int) throws -> TransformerConfiguration {
    guard let named = TransformerConfiguration.named.first(where: { $0.name == model }) else {
      let names = TransformerConfiguration.named.map(\.name).joined(separator: ", ")
      throw ValidationError("there is no model \(model); expected one of \(names)")
    }
    var c = named.configuration
    c.vocabularySize = vocabulary
    c.layers = layers ?? c.layers
    c.modelDimension = dModel ?? c.modelDimension
    c.feedForwardDimension = dFf ?? c.feedForwardDimension
    c.heads = heads ?? c.heads
    guard c.heads > 0 else { throw ValidationError("--heads must be at least 1") }
    c.keyDimension = dK ?? (c.modelDimension / c.heads)
    c.valueDimension = dV ?? c.keyDimension
    c.dropout = dropout ?? c.dropout
    c.labelSmoothing = labelSmoothing ?? c.labelSmoothing
    c.positions = positions ?? c.positions
    c.normalization = norm ?? c.normalization
    try c.check()
    return c
  }
}
