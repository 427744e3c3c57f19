internal import CMicrokernels
public import Tensors

extension LinearWeights {
  /// One of several products that share their activations.
  public struct Product {
    /// The weights.
    public var weights: LinearWeights
    /// Where the outputs go: as many rows as the activations, `weights.outputs` columns.
    public var output: MatrixView
    /// Whether outputs are added to what is there.
    public var accumulate: Bool

    /// A product of the shared activations.
    public init(_ weights: LinearWeights, into output: MatrixView, accumulate: Bool = false) {
      self.weights = weights
      self.output = output
      self.accumulate = accumulate
    }
  }

  /// Computes y[M × N] = x[M × K] · Wᵀ + bias, or adds it to `y`.
  ///
  /// Activations stay 32-bit floats, or are rounded first (`precision`). Every output is summed in
  /// an order that depends on K and M only, so results are bit-identical for any number of threads.
  ///
  /// - Parameter isRowInvariant: Whether a row's bits must not depend on M either. Quantised weights
  ///   under `.fast` are so anyway; others take longer where M is small.
  /// - Precondition: `x.columns` is K, `y` is M × N, and they do not overlap.
  public func multiply(
    _ x: MatrixView, into y: MatrixView, accumulate: Bool = false, isRowInvariant: Bool = false
  ) {
    Self.multiply(
      x, [Product(self, into: y, accumulate: accumulate)], isRowInvariant: isRowInvariant)
  }

  /// Computes several products of the same activations as one piece of parallel work.
  ///
  /// - Precondition: as for `multiply(_:into:accumulate:)`, for every product; all weights are of
  ///   one device.
  public static func multiply(
    _ x: MatrixView, _ products: [Product], isRowInvariant: Bool = false
  ) {
    guard let device = products.first?.weights.device, x.rows > 0 else { return }
    for product in products {
      precondition(
        x.columns == product.weights.inputs && product.output.rows == x.rows
          && product.output.columns == product.weights.outputs
          && product.weights.device === device,
        "linear product: shapes or devices differ")
    }
    let rounded = products.count { $0.weights.rounded != nil }
    if rounded == products.count {
      multiplyRounded(x, products, device, isRowInvariant)
    } else if rounded > 0 {
      multiplyRounded(x, products.filter { $0.weights.rounded != nil }, device, isRowInvariant)
      multiplyExact(x, products.filter { $0.weights.rounded == nil }, device, isRowInvariant)
    } else {
      multiplyExact(x, products, device, isRowInvariant)
    }
  }

  private static func multiplyExact(
    _ x: MatrixView, _ products: [Product], _ device: CPUDevice, _ isRowInvariant: Bool
  ) {
    if x.rows <= Int(SWA_FEW_ROWS), !isRowInvariant {
      multiplyFew(x, products, device)
    } else {
      multiplyMany(x, products, device)
    }
  }
}
