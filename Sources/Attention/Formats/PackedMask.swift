/// Boolean masks of a batch's requests, bit-packed.
///
/// FlashInfer's `packed_custom_mask` and `mask_indptr`: request r's mask is row-major,
/// `queries × keys`, bit i of it is bit i mod 8 (the lowest first) of byte `offsets[r] + i / 8`;
/// every request begins on a byte of its own.
public struct PackedMask: Sendable, Hashable {
  /// Queries and keys of each request.
  public let shapes: [Shape]
  /// The bits of all requests.
  public let bytes: [UInt8]
  /// Where each request's bytes begin, and the end.
  public let offsets: [Int]

  /// The extent of one request's mask.
  public struct Shape: Sendable, Hashable {
    /// Rows: the request's new tokens.
    public var queries: Int
    /// Columns: the request's keys.
    public var keys: Int

    /// An extent.
    public init(queries: Int, keys: Int) {
      self.queries = queries
      self.keys = keys
    }
  }

  /// What is wrong with masks.
  public enum Invalid: Error, Hashable {
    /// There must be one mask for each request.
    case maskCount(expected: Int, found: Int)
    /// A mask has not queries × keys entries.
    case entryCount(request: Int, expected: Int, found: Int)
    /// There are not as many bytes as the shapes need.
    case byteCount(expected: Int, found: Int)
    /// An extent is negative or the product too large.
    case shape(request: Int, Shape)
  }

  /// Packs masks.
  ///
  /// - Parameters:
  ///   - shapes: Queries and keys of each request.
  ///   - isSet: Whether a query of a request attends to a key; asked once for each.
  public init(shapes: [Shape], isSet: (_ request: Int, _ query: Int, _ key: Int) -> Bool)
    throws(Invalid)
  {
    let offsets = try Self.offsets(shapes)
    var bytes = [UInt8](repeating: 0, count: offsets[shapes.count])
    for (r, shape) in shapes.enumerated() {
      var bit = offsets[r] * 8
      for query in 0..<shape.queries {
        for key in 0..<shape.keys {
          if isSet(r, query, key) { bytes[bit / 8] |= 1 << UInt8(bit % 8) }
          bit += 1
        }
      }
    }
    self.shapes = shapes
    self.bytes = bytes
    self.offsets = offsets
  }

  /// Packs row-major boolean masks, one for each request.
  public init(_ masks: [[Bool]], shapes: [Shape]) throws(Invalid) {
    guard masks.count == shapes.count else {
      throw .maskCount(expected: shapes.count, found: masks.count)
    }
    _ = try Self.offsets(shapes)
    for (r, shape) in shapes.enumerated() where masks[r].count != shape.queries * shape.keys {
      throw .entryCount(
        request: r, expected: shape.queries * shape.keys, found: masks[r].count)
    }
    try self.init(shapes: shapes) { masks[$0][$1 * shapes[$0].keys + $2] }
  }

  /// Takes masks that are packed already.
  public init(bytes: [UInt8], shapes: [Shape]) throws(Invalid) {
    offsets = try Self.offsets(shapes)
    guard bytes.count == offsets[shapes.count] else {
      throw .byteCount(expected: offsets[shapes.count], found: bytes.count)
    }
    self.shapes = shapes
    self.bytes = bytes
  }

  /// A mask inside the blocks of a block-sparse mask, one request's.
  ///
  /// FlashInfer's `mask` argument of `BlockSparseAttentionWrapper.plan`.
  ///
  /// - Parameters:
  ///   - mask: Which blocks there are.
  ///   - values: `blocks × R × C` truth values in the order of the mask's indices, R and C the
  ///     largest sizes of a block row and column; places outside a smaller block are not looked at.
  public init(_ mask: BlockMask, inside values: [Bool]) throws(Invalid) {
    let (height, width) = (mask.rowSizes.max() ?? 0, mask.columnSizes.max() ?? 0)
    let expected = mask.indices.count * height * width
    guard values.count == expected else {
      throw .entryCount(request: 0, expected: expected, found: values.count)
    }
    let shape = Shape(queries: mask.queries, keys: mask.keys)
    _ = try Self.offsets([shape])
    let starts = mask.columnStarts
    var isSet = [Bool](repeating: false, count: shape.queries * shape.keys)
    var query = 0
    for (row, size) in mask.rowSizes.enumerated() {
      for block in mask.offsets[row]..<mask.offsets[row + 1] {
        let column = mask.indices[block]
        for i in 0..<size {
          for j in 0..<mask.columnSizes[column] {
            isSet[(query + i) * shape.keys + starts[column] + j] =
              values[(block * height + i) * width + j]
          }
        }
      }
      query += size
    }
    try self.init([isSet], shapes: [shape])
  }

  private static func offsets(_ shapes: [Shape]) throws(Invalid) -> [Int] {
    var offsets = [0]
    for (r, shape) in shapes.enumerated() {
      let (bits, overflow) = shape.queries.multipliedReportingOverflow(by: shape.keys)
      guard shape.queries >= 0, shape.keys >= 0, !overflow, bits < 1 << 48 else {
        throw .shape(request: r, shape)
      }
      offsets.append(offsets[r] + (bits + 7) / 8)
    }
    return offsets
  }

  /// Whether a query of a request attends to a key.
  public func isSet(request: Int, query: Int, key: Int) -> Bool {
    let bit = query * shapes[request].keys + key
    return bytes[offsets[request] + bit / 8] >> UInt8(bit % 8) & 1 != 0
  }
}

extension PackedMask.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .maskCount(let expected, let found):
      "packed mask: \(expected) masks expected, found \(found)"
    case .entryCount(let request, let expected, let found):
      "packed mask: request \(request): \(expected) entries expected, found \(found)"
    case .byteCount(let expected, let found):
      "packed mask: \(expected) bytes expected, found \(found)"
    case .shape(let request, let shape):
      "packed mask: request \(request) has \(shape.queries) queries and \(shape.keys) keys; "
        + "neither may be negative, nor their product exceed 48 bits"
    }
  }
}
