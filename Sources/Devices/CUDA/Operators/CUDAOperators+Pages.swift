extension CUDAOperators {
  var append: String {
    """
    \(kernel("append", """
      const Element* keys, long long keyStride, const Element* values, long long valueStride,
      const int* slots, const float* keyScales, const float* valueScales, Stored* keyPages,
      long long keyPage, long long keyHead, long long keyToken, Stored* valuePages,
      long long valuePage, long long valueHead, long long valueToken, int pageSize, int heads,
      int keyDimension, int valueDimension, int rows
      """)) {
      for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        // Rows without a slot are not kept.
        if (slots[row] < 0) continue;
        const long long page = slots[row] / pageSize, token = slots[row] % pageSize;
        for (int i = threadIdx.x; i < heads * keyDimension; i += blockDim.x) {
          const int head = i / keyDimension;
          store(keyPages + page * keyPage + head * keyHead + token * keyToken + i % keyDimension,
              load(keys + row * keyStride + i) / keyScales[head]);
        }
        for (int i = threadIdx.x; values && i < heads * valueDimension; i += blockDim.x) {
          const int head = i / valueDimension;
          store(valuePages + page * valuePage + head * valueHead + token * valueToken
                  + i % valueDimension,
              load(values + row * valueStride + i) / valueScales[head]);
        }
      }
    }
    """
  }

  /// Keys or values of a layer in pages: distances in elements.
  public struct Pages: Sendable, Hashable {
    /// The first page's first element.
    public var base: CUDAAddress
    /// From one page, head and token to the next.
    public var page, head, token: Int
    /// A float for each head by which what is stored is multiplied when it is read.
    public var scales: CUDAAddress

    /// Pages.
    public init(_ base: CUDAAddress, page: Int, head: Int, token: Int, scales: CUDAAddress) {
      (self.base, self.page, self.head, self.token) = (base, page, head, token)
      self.scales = scales
    }
  }

  /// Stores rows of keys and values at slots, slot = page · pageSize + place in the page.
  ///
  /// - Parameters:
  ///   - keys: Tokens × (heads · dimension).
  ///   - values: As many rows; nil where pages hold keys alone (latent).
  ///   - slots: 32-bit integers, none twice; −1 skips a row.
  public func append(
    _ keys: CUDAMatrix, to keyPages: Pages, _ values: CUDAMatrix?, to valuePages: Pages,
    slots: CUDAAddress, pageSize: Int, heads: Int
  ) -> CUDALaunch {
    let heads = max(heads, 1)
    return CUDALaunch(
      "append", blocks: Self.blocks(keys.rows),
      [
        .address(keys.base), .long(keys.stride), .address(values?.base ?? .none),
        .long(values?.stride ?? 0), .address(slots), .address(keyPages.scales),
        .address(valuePages.scales), .address(keyPages.base), .long(keyPages.page),
        .long(keyPages.head), .long(keyPages.token), .address(valuePages.base),
        .long(valuePages.page), .long(valuePages.head), .long(valuePages.token), .int(pageSize),
        .int(heads), .int(keys.columns / heads), .int((values?.columns ?? 0) / heads),
        .int(keys.rows),
      ])
  }
}
