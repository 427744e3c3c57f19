/// A borrowed row-major matrix of floats, the form in which activations travel between operators.
///
/// - Invariant: `base` addresses `rows` rows of `columns` floats, `stride` floats apart, that
///   outlive every use of the view; whoever makes a view keeps its `AlignedBuffer` alive.
public struct MatrixView: @unchecked Sendable {
  /// The first element.
  public var base: UnsafeMutablePointer<Float>
  /// The number of rows, tokens as a rule.
  public var rows: Int
  /// The number of elements of a row.
  public var columns: Int
  /// The distance between rows in elements, at least `columns`.
  public var stride: Int

  /// A view of existing memory; rows are adjacent unless `stride` says otherwise.
  @inlinable
  public init(_ base: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int? = nil) {
    self.base = base
    self.rows = rows
    self.columns = columns
    self.stride = stride ?? columns
  }

  /// The first element of row `i`.
  @inlinable
  public func row(_ i: Int) -> UnsafeMutablePointer<Float> { base + i * stride }

  /// The given rows.
  @inlinable
  public func rows(_ range: Range<Int>) -> MatrixView {
    MatrixView(row(range.lowerBound), rows: range.count, columns: columns, stride: stride)
  }

  /// The given columns of every row.
  @inlinable
  public func columns(_ range: Range<Int>) -> MatrixView {
    MatrixView(base + range.lowerBound, rows: rows, columns: range.count, stride: stride)
  }
}
