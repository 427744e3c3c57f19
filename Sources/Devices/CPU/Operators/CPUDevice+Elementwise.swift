internal import CMicrokernels
public import Tensors

extension CPUDevice {
  /// Adds a matrix to another: y += x.
  public func add(_ x: MatrixView, to y: MatrixView) throws(OperatorFailure) {
    try requireSameShape(x, y)
    guard let kernel = operators.add else { return }
    forEachRow(of: y) { kernel(x.row($0), y.row($0), y.columns) }
  }

  /// Multiplies every element: y *= factor.
  public func scale(_ y: MatrixView, by factor: Float) {
    guard let kernel = operators.scale else { return }
    forEachRow(of: y) { kernel(factor, y.row($0), y.columns) }
  }
}
