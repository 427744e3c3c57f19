extension BlockRows {
  /// The smallest block rows that hold a boolean mask: a block of queries reads the pages in which
  /// one of them attends to a key.
  ///
  /// With the mask itself as the variant's custom mask, attention is exactly the mask's, and pages
  /// without a set bit are never read.
  ///
  /// - Parameters:
  ///   - mask: Each request's queries and keys, the keys by absolute position.
  ///   - rowSize: Queries of a block, B_r, at least 1.
  ///   - pageSize: Keys of a page, B_c, at least 1; a request's pages hold its keys from the first
  ///     on.
  public init(covering mask: PackedMask, rowSize: Int, pageSize: Int) throws(Invalid) {
    guard rowSize >= 1 else { throw .size("row size", rowSize) }
    guard pageSize >= 1 else { throw .size("page size", pageSize) }
    var rows: [Row] = []
    var offsets = [0]
    var pages: [Int] = []
    for (request, shape) in mask.shapes.enumerated() {
      for first in stride(from: 0, to: shape.queries, by: rowSize) {
        let queries = first..<min(first + rowSize, shape.queries)
        rows.append(Row(request: request, queries: queries))
        for key in stride(from: 0, to: shape.keys, by: pageSize) {
          let keys = key..<min(key + pageSize, shape.keys)
          let isRead = queries.contains { query in
            mask.hasBits(request: request, query: query, keys: keys)
          }
          if isRead { pages.append(key / pageSize) }
        }
        offsets.append(pages.count)
      }
    }
    try self.init(rows: rows, offsets: offsets, pages: pages)
  }
}

extension PackedMask {
  /// Whether a query attends to any key of a range.
  fileprivate func hasBits(request: Int, query: Int, keys: Range<Int>) -> Bool {
    let first = offsets[request] * 8 + query * shapes[request].keys
    var bit = first + keys.lowerBound
    let end = first + keys.upperBound
    while bit < end {
      let count = min(8 - bit % 8, end - bit)
      let wanted = UInt8(truncatingIfNeeded: (1 << count - 1) << (bit % 8))
      if bytes[bit / 8] & wanted != 0 { return true }
      bit += count
    }
    return false
  }
}
