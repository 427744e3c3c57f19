internal import CMicrokernels
package import Tensors

extension CPUDevice {
  /// Elements below which handing rows to other threads costs more than it saves (about 5 µs of
  /// elementwise work).
  private static let parallelElements = 1 << 15

  /// Calls `body` for every row, on several threads where the rows are worth it.
  ///
  /// Rows must be independent of each other; each is computed by one thread.
  package func forEachRow(of x: MatrixView, _ body: (Int) -> Void) {
    guard x.rows > 1, pool.count > 1, x.rows * x.columns >= Self.parallelElements else {
      for row in 0..<x.rows { body(row) }
      return
    }
    pool.forEachRange(x.rows, grain: max(1, x.rows / (pool.count * 4))) { range in
      for row in range { body(row) }
    }
  }

  /// The row operators at this level.
  var operators: swa_operator_kernels { linearKernels.operators }

  /// Throws where views that should have the same shape do not.
  func requireSameShape(_ a: MatrixView, _ b: MatrixView, _ operation: String = #function)
    throws(OperatorFailure)
  {
    try require(b, "a matrix", rows: a.rows, columns: a.columns, operation)
  }
}
