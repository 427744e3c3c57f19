import Devices
import Tensors

/// W_down · (activation(W_gate · x) ⊙ W_up · x) (Shazeer, arXiv 2002.05202).
struct GatedFeedForward: Sendable {
  /// The function between the two products.
  enum Activation: Sendable {
    case silu
    case geluTanh
  }

  let gate: LinearWeights
  let up: LinearWeights
  let down: LinearWeights
  let activation: Activation
  private let parallelism: TensorParallelism?

  init(_ weights: WeightLoader, layer: Int, activation: Activation) throws {
    let configuration = weights.configuration
    let (width, inner) = (configuration.width, configuration.feedForwardWidth)
    gate = try weights.linear(
      "blk.\(layer).ffn_gate", rows: inner, columns: width, divided: .outputs)
    up = try weights.linear("blk.\(layer).ffn_up", rows: inner, columns: width, divided: .outputs)
    down = try weights.linear(
      "blk.\(layer).ffn_down", rows: width, columns: inner, divided: .inputs)
    self.activation = activation
    parallelism = weights.parallelism
  }

  /// Runs the layer on the rows of `x`; the result replaces the rows of `y` or is added to them.
  func run(_ x: MatrixView, into y: MatrixView, accumulate: Bool = false, _ pass: ForwardPass)
    throws
  {
    LinearWeights.multiply(
      x, [.init(gate, into: pass.gate), .init(up, into: pass.up)],
      isRowInvariant: pass.isBatchInvariant)
    switch activation {
    case .silu: try pass.device.siluAndMultiply(pass.gate, pass.up, into: pass.gate)
    case .geluTanh: try pass.device.geluTanhAndMultiply(pass.gate, pass.up, into: pass.gate)
    }
    try down.multiply(
      pass.gate, into: y, accumulate: accumulate, sharedBy: parallelism, pass)
  }
}
