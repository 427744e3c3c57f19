internal import CMicrokernels
public import Tensors

extension CPUDevice {
  /// Normalises rows by their root mean square: y = x / √(mean(x²) + ε) · weight.
  ///
  /// Root Mean Square Layer Normalization, arXiv 1910.07467. Models that scale by 1 + weight fold
  /// the 1 into the weight at load.
  ///
  /// - Parameters:
  ///   - x: Tokens × (heads · width).
  ///   - weight: `width` factors, shared by the heads.
  ///   - epsilon: ε.
  ///   - heads: Equal parts of a row that are normalised each on its own.
  ///   - y: The result, of the shape of `x`; may be `x` itself.
  public func rmsNorm(
    _ x: MatrixView, weight: [Float], epsilon: Float, heads: Int = 1, into y: MatrixView
  ) {
    requireSameShape(x, y)
    precondition(heads > 0 && x.columns == heads * weight.count, "rmsNorm: weight has a wrong size")
    guard let normalise = operators.rms_norm else { return }
    let width = weight.count
    weight.withUnsafeBufferPointer { weight in
      forEachRow(of: x) { row in
        for head in 0..<heads {
          normalise(
            x.row(row) + head * width, weight.baseAddress, epsilon, y.row(row) + head * width,
            width)
        }
      }
    }
  }

  /// Adds to the residual stream and normalises it: residual += delta, y = rmsNorm(residual).
  public func addAndRMSNorm(
    _ delta: MatrixView, to residual: MatrixView, weight: [Float], epsilon: Float,
    into y: MatrixView
  ) {
    requireSameShape(delta, residual)
    requireSameShape(residual, y)
    precondition(y.columns == weight.count, "addAndRMSNorm: weight has a wrong size")
    guard let normalise = operators.rms_norm, let add = operators.add else { return }
    weight.withUnsafeBufferPointer { weight in
      forEachRow(of: y) { row in
        add(delta.row(row), residual.row(row), y.columns)
        normalise(residual.row(row), weight.baseAddress, epsilon, y.row(row), y.columns)
      }
    }
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
  ) {
    requireSameShape(x, y)
    precondition(
      x.columns == weight.count && bias?.count ?? weight.count == weight.count,
      "layerNorm: weight or bias has a wrong size")
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
}
