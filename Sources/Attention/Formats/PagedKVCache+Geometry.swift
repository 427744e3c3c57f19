internal import CMicrokernels

extension PagedKVCache {
  /// Where things are inside the pool, in bytes.
  ///
  /// A page of panels holds, head after head, its panels of keys and then its panels of values:
  /// - a panel of keys `[d][16]`, for bf16 in pairs `[⌈d/2⌉][16][2]`;
  /// - a panel of values `[⌈d/32⌉][16][32]`, for bf16 in pairs of tokens `[⌈d/32⌉][8][32][2]`; a last
  ///   block of at most 16 columns is 16 wide.
  ///
  /// So all that one page holds is one run of memory, and what a product reads is read in order.
  /// Where pages would lie a multiple of the first cache's sets apart, a line between them puts a head's
  /// panels into other sets than those of the pages beside it.
  struct Geometry: Sendable {
    /// The sizes that a cache is made of.
    struct Sizes {
      let pageSize: Int
      let kvHeads: Int
      let headDimension: Int
      let valueDimension: Int
      let elementBytes: Int
    }

    /// Distances from one page, head and token (or panel of tokens) to the next.
    struct Strides: Sendable {
      let page: Int
      let head: Int
      let token: Int

      @inline(__always)
      func offset(page p: Int, head h: Int, token t: Int) -> Int {
        p * page + h * head + t * token
      }
    }

    let pageSize: Int
    /// Whether tokens lie in panels.
    let hasPanels: Bool
    /// Whether a value is the beginning of its key.
    let sharesValues: Bool
    let key: Strides
    let value: Strides
    /// From the first key to the first value, in memory of our own.
    let valueStart: Int

    /// A line of the first cache, and how far apart lines are that share a set of it.
    private static let (lineBytes, setBytes) = (64, 4_096)

    /// Memory that a foreign layout describes.
    init(pageSize: Int, key: Strides, value: Strides, sharesValues: Bool = false) {
      self.pageSize = pageSize
      self.key = key
      self.value = value
      self.sharesValues = sharesValues
      hasPanels = false
      valueStart = 0
    }

    /// Memory of our own; nil where it would exceed the address space.
    init?(owned sizes: Sizes) {
      let tokens = Int(SWA_PANEL_TOKENS)
      pageSize = sizes.pageSize
      sharesValues = false
      hasPanels = sizes.pageSize % tokens == 0 && sizes.elementBytes > 1
      let units = hasPanels ? sizes.pageSize / tokens : sizes.pageSize
      let keyElements =
        hasPanels
        ? (sizes.headDimension + sizes.headDimension % 2) * tokens : sizes.headDimension
      let valueElements =
        hasPanels ? (sizes.valueDimension + 15) / 16 * 16 * tokens : sizes.valueDimension
      // Each factor is below 2^32: a Double tells whether the product fits before it is made.
      let page =
        Double(keyElements + valueElements) * Double(units) * Double(sizes.elementBytes)
        * Double(sizes.kvHeads)
      guard page < 0x1p46 else { return nil }
      let keyBytes = keyElements * sizes.elementBytes
      let valueBytes = valueElements * sizes.elementBytes
      let head = (keyBytes + valueBytes) * units
      let apart = head * sizes.kvHeads % Self.setBytes == 0 ? Self.lineBytes : 0
      key = Strides(page: head * sizes.kvHeads + apart, head: head, token: keyBytes)
      value = Strides(page: head * sizes.kvHeads + apart, head: head, token: valueBytes)
      valueStart = keyBytes * units
    }

    /// The bytes of a pool; nil beyond the allocator's own limit, which is far beyond any machine.
    func byteCount(_ pages: Int) -> Int? {
      let (bytes, overflow) = key.page.multipliedReportingOverflow(by: pages)
      return overflow || bytes >= 1 << 46 ? nil : bytes
    }
  }
}
