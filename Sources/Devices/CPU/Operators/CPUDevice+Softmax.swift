internal import CMicrokernels
public import Tensors

extension CPUDevice {
  /// Replaces every row by e^x / Σ e^x.
  ///
  /// A row of −∞ only, or of no element, becomes 0; NaN makes its whole row NaN.
  public func softmax(_ x: MatrixView) {
    guard let kernel = operators.softmax else { return }
    forEachRow(of: x) { kernel(x.row($0), x.columns) }
  }

  /// The column of the largest element of a row, the first where several are equal.
  ///
  /// NaN is never the largest; a row without numbers gives 0.
  public func indexOfLargest(_ x: MatrixView, row: Int = 0) -> Int {
    operators.largest?(x.row(row), x.columns) ?? 0
  }
}
