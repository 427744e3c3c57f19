internal import CMicrokernels
public import Tensors

// Gate and up may be the halves of one matrix: `both.columns(0..<d)` and `both.columns(d..<2 * d)`.
extension CPUDevice {
  /// Gates by SiLU: y = gate / (1 + e^−gate) · up.
  ///
  /// SwiGLU of arXiv 2002.05202. `y` may be `gate` or `up`.
  public func siluAndMultiply(_ gate: MatrixView, _ up: MatrixView, into y: MatrixView)
    throws(OperatorFailure)
  {
    try requireSameShape(gate, up)
    try requireSameShape(gate, y)
    guard let kernel = operators.silu_and_multiply else { return }
    forEachRow(of: y) { kernel(gate.row($0), up.row($0), y.row($0), y.columns) }
  }

  /// Gates by the tanh form of GELU: y = ½·gate·(1 + tanh(√(2/π)(gate + 0.044715·gate³))) · up.
  ///
  /// GeGLU of arXiv 2002.05202 as Gemma uses it. `y` may be `gate` or `up`.
  public func geluTanhAndMultiply(_ gate: MatrixView, _ up: MatrixView, into y: MatrixView)
    throws(OperatorFailure)
  {
    try requireSameShape(gate, up)
    try requireSameShape(gate, y)
    guard let kernel = operators.gelu_tanh_and_multiply else { return }
    forEachRow(of: y) { kernel(gate.row($0), up.row($0), y.row($0), y.columns) }
  }

  /// Gates by the exact GELU: y = gate·Φ(gate) · up with Φ the normal distribution.
  ///
  /// GeGLU of arXiv 2002.05202. `y` may be `gate` or `up`.
  public func geluAndMultiply(_ gate: MatrixView, _ up: MatrixView, into y: MatrixView)
    throws(OperatorFailure)
  {
    try requireSameShape(gate, up)
    try requireSameShape(gate, y)
    guard let kernel = operators.gelu_and_multiply else { return }
    forEachRow(of: y) { kernel(gate.row($0), up.row($0), y.row($0), y.columns) }
  }

  /// The exact GELU, y = x·Φ(x) with Φ the normal distribution (arXiv 1606.08415).
  ///
  /// `y` may be `x`.
  public func gelu(_ x: MatrixView, into y: MatrixView) throws(OperatorFailure) {
    try requireSameShape(x, y)
    guard let kernel = operators.gelu else { return }
    forEachRow(of: y) { kernel(x.row($0), y.row($0), y.columns) }
  }
}
