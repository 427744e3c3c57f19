internal import Attention
internal import Devices
internal import Tensors

/// §3.3: FFN(x) = max(0, x·W₁ + b₁)·W₂ + b₂.
struct FeedForward: SublayerFunction {
  let inner: ParameterLayout.Linear
  let outer: ParameterLayout.Linear

  struct Record {
    var input: MatrixView
    var hidden: MatrixView
  }

  func forward(_ x: MatrixView, _ step: Step) -> (MatrixView, Record) {
    let (d, wide) = (step.configuration.modelDimension, step.configuration.feedForwardDimension)
    let hidden = step.arena.matrix(x.rows, wide)
    step.linear(
      x, step.weights.matrix(inner.weight, wide, d), bias: inner.bias, into: hidden, rectify: true)
    let y = step.arena.matrix(x.rows, d)
    step.linear(hidden, step.weights.matrix(outer.weight, d, wide), bias: outer.bias, into: y)
    return (y, Record(input: x, hidden: hidden))
  }

  func backward(_ dy: MatrixView, _ record: Record, _ step: Step, into dx: MatrixView) {
    let (d, wide) = (step.configuration.modelDimension, step.configuration.feedForwardDimension)
    let hidden = step.arena.matrix(dy.rows, wide)
    step.linearGradient(
      dy, of: record.hidden, weight: outer.weight, bias: outer.bias, outputs: 0..<d, inputs: wide,
      into: hidden)
    step.device.rectifierGradient(hidden, of: record.hidden)
    step.linearGradient(
      hidden, of: record.input, weight: inner.weight, bias: inner.bias, outputs: 0..<wide,
      inputs: d, into: dx)
  }
}
