public import Tensors

extension PagedKVCache {
  /// The bytes of one page of a cache that owns its memory.
  ///
  /// - Throws: where a cache of such pages could not be made.
  public static func pageByteCount(
    pageSize: Int, kvHeads: Int, headDimension: Int, valueDimension: Int? = nil,
    elementType: ElementType
  ) throws(Failure) -> Int {
    let valueDimension = valueDimension ?? headDimension
    for (name, size) in [
      ("page size", pageSize), ("kv heads", kvHeads), ("head dimension", headDimension),
      ("value dimension", valueDimension),
    ] where size < 1 || size > Int(Int32.max) {
      throw .size(name, size)
    }
    let geometry = Geometry(
      owned: Geometry.Sizes(
        pageSize: pageSize, kvHeads: kvHeads, headDimension: headDimension,
        valueDimension: valueDimension, elementBytes: elementType.blockBytes))
    guard let bytes = geometry?.byteCount(1) else { throw .tooLarge }
    return bytes
  }

  /// Copies all that a page holds into another page: what a sequence does before it writes into a
  /// page that others read too.
  public func copyPage(_ source: Int, to target: Int) throws(Failure) {
    for page in [source, target] where !(0..<pageCount).contains(page) {
      throw .slot(page, index: 0, limit: pageCount)
    }
    guard source != target else { return }
    let bytes = geometry.key.page
    (keyBase + target * bytes).copyMemory(from: keyBase + source * bytes, byteCount: bytes)
    // Pages of our own hold keys and values side by side; borrowed ones do not.
    if geometry.valueStart == 0, !geometry.sharesValues {
      let bytes = geometry.value.page
      (valueBase + target * bytes).copyMemory(from: valueBase + source * bytes, byteCount: bytes)
    }
  }
}
