internal import CMicrokernels
public import Tensors

extension CPUDevice {
  /// Normalises rows by their root mean square: y = x / √(mean(x²) + ε) · weight.
  ///
  /// Root Mean Square Layer Normalization, arXiv 1910.07467.
  ///
  /// - Parameters:
  ///   - x: Tokens × (heads · width).
  ///   - weight: `width` factors, shared by the heads.
  ///   - epsilon: ε.
  ///   - heads: Equal parts of a row that are normalised each on its own.
  ///   - y: The result, of the shape of `x`; may be `x` itself.
  public func rmsNorm(
    _ x: MatrixView, weight: [Float], epsilon: Float, heads: Int = 1, into y: MatrixView
  ) throws(OperatorFailure) {
    try rootMeanSquare(x, weight, offset: 0, epsilon, heads, y, "rmsNorm")
  }

  /// RMSNorm whose weights are stored less 1, as Gemma's: y = x / √(mean(x²) + ε) · (1 + weight).
  ///
  /// Parameters as for `rmsNorm`.
  public func gemmaRMSNorm(
    _ x: MatrixView, weight: [Float], epsilon: Float, heads: Int = 1, into y: MatrixView
  ) throws(OperatorFailure) {
    try rootMeanSquare(x, weight, offset: 1, epsilon, heads, y, "gemmaRMSNorm")
  }

  /// Adds to the residual stream and normalises it, in one pass: residual += delta,
  /// y = rmsNorm(residual).
  ///
  /// - Parameters:
  ///   - delta: Tokens × width.
  ///   - residual: The residual stream, of the same shape.
  ///   - weight: `width` factors.
  ///   - epsilon: ε.
  ///   - y: The result, of the same shape; may be `delta`.
  public func fusedAddRMSNorm(
    _ delta: MatrixView, residual: MatrixView, weight: [Float], epsilon: Float, into y: MatrixView
  ) throws(OperatorFailure) {
    try addRootMeanSquare(delta, residual, weight, offset: 0, epsilon, y, "fusedAddRMSNorm")
  }

  /// As `fusedAddRMSNorm`, with weights stored less 1: residual += delta,
  /// y = gemmaRMSNorm(residual).
  public func gemmaFusedAddRMSNorm(
    _ delta: MatrixView, residual: MatrixView, weight: [Float], epsilon: Float, into y: MatrixView
  ) throws(OperatorFailure) {
    try addRootMeanSquare(delta, residual, weight, offset: 1, epsilon, y, "gemmaFusedAddRMSNorm")
  }

  /// Normalises rows to mean 0 and variance 1: y = (x − mean) / √(variance + ε) · weight + bias.
  ///
  /// Layer Normalization, arXiv 1607.06450; the variance is that of the population.
  ///
  /// - Parameters:
  ///   - x: Tokens × width.
  ///   - weight: `width` factors.
  ///   - bias: `width` terms, or `nil`.
  ///   - epsilon: ε.
  ///   - y: The result, of the shape of `x`; may be `x` itself.
  public func layerNorm(
    _ x: MatrixView, weight: [Float], bias: [Float]? = nil, epsilon: Float, into y: MatrixView
  ) throws(OperatorFailure) {
    try requireSameShape(x, y)
    try requireCount(weight, "weight", x.columns)
    if let bias { try requireCount(bias, "bias", x.columns) }
    guard let normalise = operators.layer_norm else { return }
    weight.withUnsafeBufferPointer { weight in
      (bias ?? []).withUnsafeBufferPointer { terms in
        forEachRow(of: x) { row in
          normalise(
            x.row(row), weight.baseAddress, bias == nil ? nil : terms.baseAddress, epsilon,
            y.row(row), x.columns)
        }
      }
    }
  }

  private func rootMeanSquare(
    _ x: MatrixView, _ weight: [Float], offset: Float, _ epsilon: Float, _ heads: Int,
    _ y: MatrixView, _ operation: String
  ) throws(OperatorFailure) {
    try requireSameShape(x, y, operation)
    try requireValues([heads], "heads", expected: "at least 1", operation) { $0 >= 1 }
    try require(
      x.columns == heads * weight.count, "weight", expected: "\(x.columns) / \(heads) elements",
      found: "\(weight.count)", operation)
    guard let normalise = operators.rms_norm else { return }
    let width = weight.count
    weight.withUnsafeBufferPointer { weight in
      forEachRow(of: x) { row in
        for head in 0..<heads {
          normalise(
            x.row(row) + head * width, weight.baseAddress, offset, epsilon,
            y.row(row) + head * width, width)
        }
      }
    }
  }

  private func addRootMeanSquare(
    _ delta: MatrixView, _ residual: MatrixView, _ weight: [Float], offset: Float,
    _ epsilon: Float, _ y: MatrixView, _ operation: String
  ) throws(OperatorFailure) {
    try requireSameShape(delta, residual, operation)
    try requireSameShape(residual, y, operation)
    try requireCount(weight, "weight", y.columns, operation)
    guard let normalise = operators.add_rms_norm else { return }
    weight.withUnsafeBufferPointer { weight in
      forEachRow(of: y) { row in
        normalise(
          delta.row(row), residual.row(row), weight.baseAddress, offset, epsilon, y.row(row),
          y.columns)
      }
    }
  }

  private func requireCount(
    _ values: [Float], _ argument: String, _ count: Int, _ operation: String = #function
  ) throws(OperatorFailure) {
    try require(
      values.count == count, argument, expected: "\(count) elements", found: "\(values.count)",
      operation)
  }
}
