public import Tensors
internal import CMicrokernels

/// One layer's keys and values, in pages of `pageSize` tokens.
///
/// What lies inside a page is the device's business; `append` and the readers convert. On the CPU a
/// page holds, head after head,
/// - keys in panels of 16 tokens, transposed (`[d][16]`; for bf16 in pairs, `[⌈d/2⌉][16][2]`),
///   where the page size is a multiple of 16, so that scores need no horizontal sums; otherwise
///   token after token;
/// - values token after token.
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
  /// The stored form: f32, f16 or bf16.
  public let elementType: ElementType

  let geometry: Geometry
  private let keys: AlignedBuffer
  private let values: AlignedBuffer

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
    /// The batch names a page that does not exist.
    case page(Int, pageCount: Int)
  }

  /// Makes an empty cache.
  ///
  /// - Parameters:
  ///   - pageCount: Pages of the pool, at least 1.
  ///   - pageSize: Tokens of a page, at least 1; multiples of 16 are fastest.
  ///   - kvHeads: Key/value heads, at least 1.
  ///   - headDimension: Elements of a key, at least 1.
  ///   - valueDimension: Elements of a value; by default those of a key.
  ///   - elementType: `.float32`, `.float16` or `.bfloat16`.
  public init(
    pageCount: Int, pageSize: Int, kvHeads: Int, headDimension: Int, valueDimension: Int? = nil,
    elementType: ElementType = .bfloat16
  ) throws(Failure) {
    let valueDimension = valueDimension ?? headDimension
    for (name, size) in [
      ("page count", pageCount), ("page size", pageSize), ("kv heads", kvHeads),
      ("head dimension", headDimension), ("value dimension", valueDimension),
    ] where size < 1 || size > Int(Int32.max) {
      throw .size(name, size)
    }
    guard [.float32, .float16, .bfloat16].contains(elementType) else {
      throw .elementType(elementType)
    }
    self.pageCount = pageCount
    self.pageSize = pageSize
    self.kvHeads = kvHeads
    self.headDimension = headDimension
    self.valueDimension = valueDimension
    self.elementType = elementType
    guard
      let geometry = Geometry(
        pageSize: pageSize, kvHeads: kvHeads, headDimension: headDimension,
        valueDimension: valueDimension, elementBytes: elementType.blockBytes),
      let keyBytes = geometry.poolBytes(geometry.keyHeadBytes, pages: pageCount),
      let valueBytes = geometry.poolBytes(geometry.valueHeadBytes, pages: pageCount)
    else { throw .tooLarge }
    self.geometry = geometry
    guard let keys = AlignedBuffer(trying: keyBytes),
      let values = AlignedBuffer(trying: valueBytes)
    else { throw .memory(bytes: keyBytes + valueBytes) }
    self.keys = keys
    self.values = values
  }

  /// The bytes of the whole cache.
  public var byteCount: Int { keys.bytes.count + values.bytes.count }

  /// The memory of keys and values, for kernels.
  ///
  /// - Invariant: Valid while the cache lives; `geometry` says where a page's parts are.
  var keyBase: UnsafeMutableRawPointer { keys.bytes.baseAddress.unsafelyUnwrapped }
  var valueBase: UnsafeMutableRawPointer { values.bytes.baseAddress.unsafelyUnwrapped }
}

extension PagedKVCache {
  /// Where things are inside the pool, in bytes.
  struct Geometry: Sendable {
    let pageSize: Int
    let kvHeads: Int
    let elementBytes: Int
    /// Whether keys lie in panels.
    let hasPanels: Bool
    /// The bytes of one panel of 16 keys.
    let panelBytes: Int
    /// The bytes of one token's key, where keys lie token after token.
    let keyRowBytes: Int
    /// The bytes of one token's value.
    let valueRowBytes: Int
    /// The bytes of one head's keys in a page.
    let keyHeadBytes: Int
    /// The bytes of one head's values in a page.
    let valueHeadBytes: Int

    /// Readable bytes after the last row: kernels load whole vectors.
    static let slack = 64 * MemoryLayout<Float>.size

    init?(
      pageSize: Int, kvHeads: Int, headDimension: Int, valueDimension: Int, elementBytes: Int
    ) {
      let panel = Int(SWA_PANEL_TOKENS)
      self.pageSize = pageSize
      self.kvHeads = kvHeads
      self.elementBytes = elementBytes
      hasPanels = pageSize % panel == 0
      // Pairs of bf16 round an odd dimension up; the other types do not need it but may have it.
      let padded = headDimension + headDimension % 2
      panelBytes = padded * panel * elementBytes
      keyRowBytes = headDimension * elementBytes
      valueRowBytes = valueDimension * elementBytes
      let keys = (hasPanels ? padded : headDimension).multipliedReportingOverflow(by: pageSize)
      let values = valueRowBytes.multipliedReportingOverflow(by: pageSize)
      let keyBytes = keys.partialValue.multipliedReportingOverflow(by: elementBytes)
      guard !keys.overflow, !values.overflow, !keyBytes.overflow else { return nil }
      keyHeadBytes = keyBytes.partialValue
      valueHeadBytes = values.partialValue
    }

    func poolBytes(_ headBytes: Int, pages: Int) -> Int? {
      let page = headBytes.multipliedReportingOverflow(by: kvHeads)
      let pool = page.partialValue.multipliedReportingOverflow(by: pages)
      let total = pool.partialValue.addingReportingOverflow(Self.slack)
      // The allocator's own limit; also far beyond any machine.
      guard !page.overflow, !pool.overflow, !total.overflow, total.partialValue < 1 << 46 else {
        return nil
      }
      return total.partialValue
    }

    /// The start of one head's keys in a page.
    @inline(__always)
    func keyOffset(page: Int, head: Int) -> Int { (page * kvHeads + head) * keyHeadBytes }

    /// The start of one head's values in a page.
    @inline(__always)
    func valueOffset(page: Int, head: Int) -> Int { (page * kvHeads + head) * valueHeadBytes }
  }
}

extension PagedKVCache.Failure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .size(let name, let size): "KV cache: \(name) is \(size), expected 1 ... \(Int32.max)"
    case .elementType(let type): "KV cache: no storage as \(type.rawValue); use F32, F16 or BF16"
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
    case .page(let page, let count): "KV cache: page \(page) is outside 0 ..< \(count)"
    }
  }
}
