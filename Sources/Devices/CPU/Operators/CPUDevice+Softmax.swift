internal import CMicrokernels
public import Tensors

extension CPUDevice {
  /// Replaces every row by e^(x/T) / Σ e^(x/T).
  ///
  /// A row of −∞ only, or of no element, becomes 0; NaN makes its whole row NaN.
  ///
  /// - Parameters:
  ///   - x: Rows of logits, then of probabilities.
  ///   - temperatures: T, one for all rows or one for each, above 0.
  public func softmax(_ x: MatrixView, temperatures: [Float] = [1]) throws(OperatorFailure) {
    try requirePerRow(temperatures.count, rows: x.rows, "temperatures")
    try requireValues(temperatures, "temperatures", expected: "a finite number above 0") {
      $0 > 0 && $0.isFinite
    }
    guard let kernel = operators.softmax else { return }
    forEachRow(of: x) { row in
      let temperature = temperatures[temperatures.count == 1 ? 0 : row]
      kernel(min(1 / temperature, .greatestFiniteMagnitude), x.row(row), x.columns)
    }
  }

  /// The column of the largest element of a row, the first where several are equal.
  ///
  /// NaN is never the largest; a row without numbers gives 0.
  public func indexOfLargest(_ x: MatrixView, row: Int = 0) -> Int {
    operators.largest?(x.row(row), x.columns) ?? 0
  }
}
