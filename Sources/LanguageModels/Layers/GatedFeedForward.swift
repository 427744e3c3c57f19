/// The function between a gated feed-forward layer's products.
enum GateFunction: Sendable {
  case silu
  case geluTanh
}

/// W_down · (function(W_gate · x) ⊙ W_up · x) (Shazeer, arXiv 2002.05202).
struct GatedFeedForward: Sendable {
  let gate: Linear
  let up: Linear
  let down: Linear
  let function: GateFunction

  init(_ weights: WeightLoader, layer: Int, function: GateFunction) throws {
    let configuration = weights.configuration
    let (width, inner) = (configuration.width, weights.part.feedForward)
    gate = try weights.linear("blk.\(layer).ffn_gate", outputs: inner, inputs: width)
    up = try weights.linear("blk.\(layer).ffn_up", outputs: inner, inputs: width)
    down = try weights.linear("blk.\(layer).ffn_down", outputs: width, inputs: inner)
    self.function = function
  }

  /// Runs the layer on `normed`; the result replaces `y` or is added to it.
  func run(into y: Activation, accumulate: Bool = false, _ pass: any ForwardPass) throws {
    try pass.multiply(.normed, [(gate, .gate), (up, .up)])
    try pass.gate(by: function)
    try pass.project(.gate, down, into: y, accumulate: accumulate)
  }
}
