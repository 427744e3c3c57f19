public import Tensors

/// A tensor as it lies in a checkpoint: a typed, shaped view of mapped bytes.
///
/// The view may be stored for the life of a model: `owner` keeps the bytes mapped. Rows are
/// contiguous and follow each other; a block type's rows are whole numbers of blocks.
///
/// A pointer taken from `bytes` does not keep the owner: keep the tensor, or the owner, in a variable
/// or a property for as long as the pointer is used, or read inside ``withBytes(_:)``.
///
/// - Invariant: `bytes` lies inside memory that `owner` keeps valid and unwritten, and holds exactly
///   the elements of `shape` in `type`. The bytes may start at any address: read them unaligned.
public struct StoredTensor: @unchecked Sendable {
  /// The tensor's name in the checkpoint.
  public let name: String
  /// The stored form of the elements.
  public let type: ElementType
  /// The sizes, outermost first (row-major): `[rows, columns]` for a linear layer's weight.
  public let shape: [Int]
  /// The elements, row after row; valid as long as `owner` lives.
  public let bytes: UnsafeRawBufferPointer
  /// Whatever keeps `bytes` valid.
  public let owner: any AnyObject & Sendable

  /// A view of `bytes`, or `nil` where they are not exactly the elements of `shape` in `type`.
  public init?(
    name: String, type: ElementType, shape: [Int], bytes: UnsafeRawBufferPointer,
    owner: any AnyObject & Sendable
  ) {
    guard Self.byteCount(type: type, shape: shape) == bytes.count else { return nil }
    self.name = name
    self.type = type
    self.shape = shape
    self.bytes = bytes
    self.owner = owner
  }

  /// The elements of one row: the innermost size, 1 for a scalar.
  public var columns: Int { shape.last ?? 1 }

  /// The number of rows: the product of all sizes but the innermost.
  public var rows: Int { shape.dropLast().reduce(1, &*) }

  /// The number of elements.
  public var elementCount: Int { shape.reduce(1, &*) }

  /// The bytes from one row to the next.
  public var rowBytes: Int { columns / type.blockLength &* type.blockBytes }

  /// Calls `body` with the elements' bytes, which are valid until it returns.
  public func withBytes<Result>(
    _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    try withExtendedLifetime(owner) { try body(bytes) }
  }

  /// The bytes of row `row`, or `nil` where there is no such row.
  public func row(_ row: Int) -> UnsafeRawBufferPointer? {
    guard row >= 0, row < rows else { return nil }
    return UnsafeRawBufferPointer(rebasing: bytes[row * rowBytes..<(row + 1) * rowBytes])
  }

  /// The bytes of a tensor, or `nil` where a size is negative, the innermost size is no whole
  /// number of blocks or a product overflows.
  static func byteCount(type: ElementType, shape: [Int]) -> Int? {
    // Zero sizes are left out of the products so that an overflow cannot hide behind them.
    var rows = 1
    for size in shape.dropLast() {
      guard size >= 0 else { return nil }
      let (product, overflow) = rows.multipliedReportingOverflow(by: max(size, 1))
      guard !overflow else { return nil }
      rows = product
    }
    let columns = shape.last ?? 1
    guard let rowBytes = type.byteCount(of: columns),
      !rows.multipliedReportingOverflow(by: max(columns, 1)).overflow
    else { return nil }
    let (total, overflow) = rows.multipliedReportingOverflow(by: rowBytes)
    guard !overflow else { return nil }
    return shape.contains(0) ? 0 : total
  }
}
