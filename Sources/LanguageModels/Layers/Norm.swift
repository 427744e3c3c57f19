import Devices
import Tensors

/// RMSNorm: x / √(mean(x²) + ε) ⊙ w (Zhang and Sennrich, arXiv 1910.07467).
struct Norm: Sendable {
  let weight: [Float]
  let epsilon: Float

  /// Normalises each of the `heads` equal parts of each row of `x` into `y`, which may be `x`.
  func run(_ x: MatrixView, heads: Int = 1, into y: MatrixView, _ pass: ForwardPass) throws {
    try pass.device.rmsNorm(x, weight: weight, epsilon: epsilon, heads: heads, into: y)
  }

  /// Adds `delta` to the residual stream and normalises the sum into `y`, which may be `delta`.
  func run(
    adding delta: MatrixView, to residual: MatrixView, into y: MatrixView, _ pass: ForwardPass
  ) throws {
    try pass.device.fusedAddRMSNorm(
      delta, residual: residual, weight: weight, epsilon: epsilon, into: y)
  }
}
