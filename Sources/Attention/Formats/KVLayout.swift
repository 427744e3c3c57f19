/// The order of tokens and heads inside a page of a token-major pool.
///
/// FlashInfer's names: N tokens of a page, H key/value heads, D elements. A pool is an array of
/// pages in either order; our own pages (`PagedKVCache`) have an order of the device's choice.
public enum KVLayout: String, Sendable, Hashable, CaseIterable {
  /// `[page][token][head][element]`.
  case nhd = "NHD"
  /// `[page][head][token][element]`.
  case hnd = "HND"

  /// Elements from one token of a page to the next, the same head.
  public func tokenStride(pageSize: Int, kvHeads: Int, dimension: Int) -> Int {
    self == .nhd ? kvHeads * dimension : dimension
  }

  /// Elements from one head to the next, the same token.
  public func headStride(pageSize: Int, kvHeads: Int, dimension: Int) -> Int {
    self == .nhd ? dimension : pageSize * dimension
  }
}
