public import Tensors
internal import CMicrokernels

/// One layer's keys and values, in pages of `pageSize` tokens.
///
/// What lies inside a page is the device's business; `append` and the readers convert. On the CPU a
/// page holds, head after head, keys and then values:
/// - in panels of 16 tokens in the order in which the products read them (see `Geometry`), where
///   the element type has at least 16 bits and the page size is a multiple of 16;
/// - otherwise token after token.
///
/// A cache may also borrow memory that someone else lays out token-major (see
/// ``init(borrowingKeys:values:layout:pageCount:pageSize:kvHeads:headDimension:valueDimension:elementType:keyScales:valueScales:owner:)``),
/// or hold one latent row a token that serves as key and as value (see
/// ``init(latentPages:pageSize:latentDimension:ropeDimension:elementType:)``).
///
/// Whoever writes a page must see to it that nobody reads it meanwhile.
public final class PagedKVCache: @unchecked Sendable {
  /// Pages of the pool.
  public let pageCount: Int
  /// Tokens of a page.
  public let pageSize: Int
  /// Key/value heads.
  public let kvHeads: Int
  /// Elements of a key.
  public let headDimension: Int
  /// Elements of a value.
  public let valueDimension: Int
  /// The stored form: f32, f16, bf16, fp8 (E4M3, E5M2) or int8.
  public let elementType: ElementType

  let geometry: Geometry
  /// What a stored key or value is to be multiplied by, for each kv head.
  let keyScales = Section<Float>()
  let valueScales = Section<Float>()

  /// The memory of keys and values, for kernels.
  ///
  /// - Invariant: Valid while the cache lives; `geometry` says where a page's parts are.
  let keyBase: UnsafeMutableRawPointer
  let valueBase: UnsafeMutableRawPointer
  private let owner: AnyObject?

  /// The bytes of the whole cache; 0 where its memory is borrowed.
  public let byteCount: Int

  /// Why a cache could not be made or written.
  public enum Failure: Error, Hashable {
    /// A size is less than 1.
    case size(String, Int)
    /// Keys and values are not stored in this form.
    case elementType(ElementType)
    /// The cache would not fit the address space.
    case tooLarge
    /// The system has not that much memory.
    case memory(bytes: Int)
    /// A matrix has the wrong shape.
    case shape(String, expected: [Int], found: [Int])
    /// A slot outside the pool.
    case slot(Int, index: Int, limit: Int)
    /// The batch's pages have another size.
    case pageSize(expected: Int, found: Int)
    /// The positions of appended tokens do not fit the batch's pages.
    case indices(AppendIndices.Invalid)
    /// There must be one finite scale above 0 for each kv head.
    case scales(String, expected: Int, found: [Float])
    /// Values were given to a cache that has none of its own, or none to one that has.
    case values(sharesValues: Bool)
  }

  /// Makes an empty cache.
  ///
  /// - Parameters:
  ///   - pageCount: Pages of the pool, at least 1.
  ///   - pageSize: Tokens of a page, at least 1; multiples of 16 are fastest.
  ///   - kvHeads: Key/value heads, at least 1.
  ///   - headDimension: Elements of a key, at least 1.
  ///   - valueDimension: Elements of a value; by default those of a key.
  ///   - elementType: `.float32`, `.float16`, `.bfloat16`, `.float8E4M3`, `.float8E5M2` or `.int8`.
  ///   - keyScales: For each kv head, what a stored key is to be multiplied by; by default 1. int8
  ///     and fp8 need scales that bring the largest key near 127, 448 or 57344.
  ///   - valueScales: The same for values.
  public convenience init(
    pageCount: Int, pageSize: Int, kvHeads: Int, headDimension: Int, valueDimension: Int? = nil,
    elementType: ElementType = .bfloat16, keyScales: [Float]? = nil, valueScales: [Float]? = nil
  ) throws(Failure) {
    try self.init(
      pageCount: pageCount, pageSize: pageSize, kvHeads: kvHeads, headDimension: headDimension,
      valueDimension: valueDimension ?? headDimension, elementType: elementType,
      keyScales: keyScales, valueScales: valueScales
    ) { sizes throws(Failure) in
      try Memory.owned(Geometry(owned: sizes), pageCount: pageCount)
    }
  }

  /// Where a cache's memory comes from.
  struct Memory {
    let geometry: Geometry
    let keys: UnsafeMutableRawPointer
    let values: UnsafeMutableRawPointer
    let owner: AnyObject?
    let byteCount: Int

    /// Memory of the cache's own, laid out as `geometry` says, where that fits an address space.
    static func owned(_ geometry: Geometry?, pageCount: Int) throws(Failure) -> Memory {
      guard let geometry, let bytes = geometry.byteCount(pageCount) else { throw .tooLarge }
      guard let memory = AlignedBuffer(trying: bytes), let base = memory.bytes.baseAddress
      else { throw .memory(bytes: bytes) }
      return Memory(
        geometry: geometry, keys: base, values: base + geometry.valueStart, owner: memory,
        byteCount: bytes)
    }
  }

  /// Checks the sizes, then asks for the memory.
  init(
    pageCount: Int, pageSize: Int, kvHeads: Int, headDimension: Int, valueDimension: Int,
    elementType: ElementType, keyScales: [Float]?, valueScales: [Float]?,
    memory: (Geometry.Sizes) throws(Failure) -> Memory
  ) throws(Failure) {
    for (name, size) in [
      ("page count", pageCount), ("page size", pageSize), ("kv heads", kvHeads),
      ("head dimension", headDimension), ("value dimension", valueDimension),
    ] where size < 1 || size > Int(Int32.max) {
      throw .size(name, size)
    }
    guard
      [.float32, .float16, .bfloat16, .float8E4M3, .float8E5M2, .int8].contains(elementType)
    else { throw .elementType(elementType) }
    for (name, scales) in [("key scales", keyScales), ("value scales", valueScales)] {
      guard let scales else { continue }
      guard scales.count == kvHeads, scales.allSatisfy({ $0 > 0 && $0.isFinite }) else {
        throw .scales(name, expected: kvHeads, found: scales)
      }
    }
    self.pageCount = pageCount
    self.pageSize = pageSize
    self.kvHeads = kvHeads
    self.headDimension = headDimension
    self.valueDimension = valueDimension
    self.elementType = elementType
    let memory = try memory(
      Geometry.Sizes(
        pageSize: pageSize, kvHeads: kvHeads, headDimension: headDimension,
        valueDimension: valueDimension, elementBytes: elementType.blockBytes))
    geometry = memory.geometry
    keyBase = memory.keys
    valueBase = memory.values
    owner = memory.owner
    byteCount = memory.byteCount
    let ones = [Float](repeating: 1, count: kvHeads)
    self.keyScales.assign(keyScales ?? ones)
    self.valueScales.assign(valueScales ?? ones)
  }
}

extension PagedKVCache.Failure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .size(let name, let size): "KV cache: \(name) is \(size), expected 1 ... \(Int32.max)"
    case .elementType(let type):
      "KV cache: no storage as \(type.rawValue); use F32, F16, BF16, F8_E4M3, F8_E5M2 or I8"
    case .tooLarge: "KV cache: its size exceeds the address space"
    case .memory(let bytes): "KV cache: the system refused \(bytes) bytes"
    case .shape(let what, let expected, let found):
      "KV cache: \(what) must be \(expected.map(String.init).joined(separator: " x ")), found "
        + found.map(String.init).joined(separator: " x ")
    case .indices(let error): error.description
    case .slot(let slot, let index, let limit):
      "KV cache: slot \(slot) of row \(index) is outside 0 ..< \(limit)"
    case .pageSize(let expected, let found):
      "KV cache: pages of \(expected) tokens expected, the batch has pages of \(found)"
    case .scales(let name, let expected, let found):
      "KV cache: \(name) must be \(expected) finite numbers above 0, one for each kv head, found "
        + "\(found)"
    case .values(let sharesValues):
      sharesValues
        ? "KV cache: a latent cache has no values of its own; append keys alone"
        : "KV cache: values are missing"
    }
  }
}
