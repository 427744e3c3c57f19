public import Tensors

/// The order of a token-major pool's axes (FlashInfer's names).
public enum KVLayout: String, Sendable, CaseIterable, Hashable {
  /// `[page][token][head][d]`.
  case nhd = "NHD"
  /// `[page][head][token][d]`.
  case hnd = "HND"

  func strides(pageSize: Int, heads: Int, row: Int) -> PagedKVCache.Geometry.Strides {
    switch self {
    case .nhd: .init(page: pageSize * heads * row, head: row, token: heads * row)
    case .hnd: .init(page: pageSize * heads * row, head: pageSize * row, token: row)
    }
  }
}

extension PagedKVCache {
  /// Keys and values that someone else keeps, token-major, used in place without copying.
  ///
  /// - Parameters:
  ///   - keys: `pageCount · pageSize · kvHeads` rows of `headDimension` elements in the
  ///     order that `layout` says. Must stay valid and unmoved while the cache lives.
  ///   - values: The same with `valueDimension` elements a row.
  ///   - layout: NHD or HND.
  ///   - pageCount: Pages of the pool, at least 1.
  ///   - pageSize: Tokens of a page, at least 1.
  ///   - kvHeads: Key/value heads, at least 1.
  ///   - headDimension: Elements of a key, at least 1.
  ///   - valueDimension: Elements of a value; by default those of a key.
  ///   - elementType: What the memory holds: f32, f16, bf16, fp8 or int8.
  ///   - keyScales: For each kv head, what a stored key is to be multiplied by; by default 1.
  ///   - valueScales: The same for values.
  ///   - owner: Kept alive as long as the cache.
  public convenience init(
    borrowingKeys keys: UnsafeMutableRawPointer, values: UnsafeMutableRawPointer,
    layout: KVLayout, pageCount: Int, pageSize: Int, kvHeads: Int, headDimension: Int,
    valueDimension: Int? = nil, elementType: ElementType, keyScales: [Float]? = nil,
    valueScales: [Float]? = nil, owner: AnyObject? = nil
  ) throws(Failure) {
    try self.init(
      pageCount: pageCount, pageSize: pageSize, kvHeads: kvHeads, headDimension: headDimension,
      valueDimension: valueDimension ?? headDimension, elementType: elementType,
      keyScales: keyScales, valueScales: valueScales
    ) { sizes throws(Failure) in
      guard let plain = Geometry(owned: sizes), plain.byteCount(pageCount) != nil else {
        throw .tooLarge
      }
      let geometry = Geometry(
        pageSize: pageSize,
        key: layout.strides(
          pageSize: pageSize, heads: kvHeads, row: sizes.headDimension * sizes.elementBytes),
        value: layout.strides(
          pageSize: pageSize, heads: kvHeads, row: sizes.valueDimension * sizes.elementBytes))
      return Memory(geometry: geometry, keys: keys, values: values, owner: owner, byteCount: 0)
    }
  }

  /// Distances in the memory of a foreign pool, in elements; those of a head are adjacent.
  public struct ForeignStrides: Sendable, Hashable {
    /// From one page to the next.
    public var page: Int
    /// From one head to the next.
    public var head: Int
    /// From one token to the next.
    public var token: Int

    /// Distances in elements.
    public init(page: Int, head: Int, token: Int) {
      (self.page, self.head, self.token) = (page, head, token)
    }

    func bytes(_ size: Int) -> Geometry.Strides {
      .init(page: page * size, head: head * size, token: token * size)
    }
  }

  /// Keys and values that someone else keeps in any strides: caches of both in one tensor, slices
  /// and transposed axes; used in place without copying.
  ///
  /// - Parameters:
  ///   - borrowingKeys: The first key. All rows that the strides reach must stay valid and unmoved
  ///     while the cache lives; distances are below 2⁴² elements.
  ///   - values: The first value; it may lie within the keys.
  ///   - owner: Kept alive as long as the cache.
  public convenience init(
    borrowingKeys keys: UnsafeMutableRawPointer, keyStrides: ForeignStrides,
    values: UnsafeMutableRawPointer, valueStrides: ForeignStrides, pageCount: Int, pageSize: Int,
    kvHeads: Int, headDimension: Int, valueDimension: Int? = nil, elementType: ElementType,
    keyScales: [Float]? = nil, valueScales: [Float]? = nil, owner: AnyObject? = nil
  ) throws(Failure) {
    for strides in [keyStrides, valueStrides] {
      for stride in [strides.page, strides.head, strides.token] where stride.magnitude >= 1 << 42 {
        throw .tooLarge
      }
    }
    try self.init(
      pageCount: pageCount, pageSize: pageSize, kvHeads: kvHeads, headDimension: headDimension,
      valueDimension: valueDimension ?? headDimension, elementType: elementType,
      keyScales: keyScales, valueScales: valueScales
    ) { sizes throws(Failure) in
      let geometry = Geometry(
        pageSize: pageSize, key: keyStrides.bytes(sizes.elementBytes),
        value: valueStrides.bytes(sizes.elementBytes))
      return Memory(geometry: geometry, keys: keys, values: values, owner: owner, byteCount: 0)
    }
  }

  /// An empty latent cache, for multi-head latent attention in its absorbed form (arXiv 2405.04434).
  ///
  /// One row a token is the key of every query head, and its first `latentDimension` elements are
  /// the value. It is stored and read once.
  ///
  /// Attention over it has the shape `kvHeads: 1`, `headDimension: latentDimension +
  /// ropeDimension`, `valueDimension: latentDimension`.
  public convenience init(
    latentPages pageCount: Int, pageSize: Int, latentDimension: Int = 512,
    ropeDimension: Int = 64, elementType: ElementType = .bfloat16
  ) throws(Failure) {
    for (name, size) in [("latent dimension", latentDimension), ("rope dimension", ropeDimension)]
    where size < 0 || size > 1 << 24 {
      throw .size(name, size)
    }
    try self.init(
      pageCount: pageCount, pageSize: pageSize, kvHeads: 1,
      headDimension: latentDimension + ropeDimension, valueDimension: latentDimension,
      elementType: elementType, keyScales: nil, valueScales: nil
    ) { sizes throws(Failure) in
      let row = sizes.headDimension * sizes.elementBytes
      let strides = KVLayout.hnd.strides(pageSize: pageSize, heads: 1, row: row)
      return try Memory.owned(
        Geometry(pageSize: pageSize, key: strides, value: strides, sharesValues: true),
        pageCount: pageCount)
    }
  }
}
