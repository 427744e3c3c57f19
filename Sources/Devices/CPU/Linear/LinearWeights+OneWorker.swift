internal import CMicrokernels
internal import Tensors

extension LinearWeights {
  /// The outputs of some panels, computed on the worker that runs, for products that are shared out
  /// by someone else.
  ///
  /// - Precondition: shapes fit, as for `multiply(_:into:accumulate:)`.
  func multiply(_ x: MatrixView, _ product: Product, panels: Range<Int>, worker: Int) {
    guard x.rows > Int(SWA_FEW_ROWS) else {
      var job = job(x, product)
      prepare(&job, x, worker)
      kernels.few?(&job, panels.lowerBound, panels.upperBound)
      return
    }
    let piece = device.scratch.floats(Self.pieceInputs * Self.panelOutputs, worker: worker)
    multiplyTile(x, product, rows: 0..<x.rows, panels: panels, piece)
  }
}
