/// Which pages each block of query rows reads: block-sparse rows, BSR(B_r, B_c), over a page table.
///
/// A block row is a run of consecutive queries of one request, of any length B_r ≥ 1, and a list of
/// the request's pages, B_c = page size tokens each. Pages are named by their number in the
/// request's list, so the page table stays the one place that knows where tokens are in the pool
/// and at which absolute positions they stand. The block rows of a request cover its queries in
/// order; a block row without pages attends to nothing. A block row is for all key/value heads or
/// for one, and then a request has such a covering for each head.
///
/// The order of a row's pages has no meaning; it is kept ascending.
public struct BlockRows: Sendable, Hashable {
  /// The queries of a block row.
  public struct Row: Sendable, Hashable {
    /// The request in the batch.
    public var request: Int
    /// The queries among the request's new tokens.
    public var queries: Range<Int>
    /// The key/value head whose queries these are; `nil` stands for every head.
    public var kvHead: Int?

    /// A block row's queries.
    public init(request: Int, queries: Range<Int>, kvHead: Int? = nil) {
      self.request = request
      self.queries = queries
      self.kvHead = kvHead
    }
  }

  /// The block rows: by request, then by head, then by query.
  public let rows: [Row]
  /// Where each row's pages begin in `pages`, and the end.
  public let offsets: [Int32]
  /// Numbers of pages in the list of the row's request, ascending within a row.
  public let pages: [Int32]

  /// What is wrong with block rows.
  public enum Invalid: Error, Hashable {
    /// There must be one offset more than rows.
    case offsetCount(expected: Int, found: Int)
    /// The offsets do not start at 0.
    case firstOffset(Int?)
    /// The offsets decrease.
    case decreasingOffset(row: Int, from: Int, to: Int)
    /// The last offset is not the number of pages.
    case pageCount(expected: Int, found: Int)
    /// A row has no queries, or negative ones.
    case queries(row: Int, Range<Int>)
    /// A row's head is negative.
    case kvHead(row: Int, Int)
    /// A page number is negative or does not fit 32 bits.
    case page(row: Int, page: Int)
    /// A row names a page twice.
    case duplicatePage(row: Int, page: Int)
    /// A size is less than 1.
    case size(String, Int)
    /// There must be one list of pages for each request, or for each request and head.
    case selectionCount(expected: Int, found: Int)
  }

  /// Checks and takes block rows in compressed form.
  ///
  /// Whether they fit requests and pages is checked by ``AttentionBatch``.
  ///
  /// - Parameters:
  ///   - rows: By request, then by head, then by query.
  ///   - offsets: `rows + 1` non-decreasing numbers, the first 0 (BSR's `indptr`).
  ///   - pages: Page numbers in the list of the row's request, none twice in a row (`indices`).
  public init(rows: [Row], offsets: [Int], pages: [Int]) throws(Invalid) {
    guard offsets.count == rows.count + 1 else {
      throw .offsetCount(expected: rows.count + 1, found: offsets.count)
    }
    guard offsets.first == 0 else { throw .firstOffset(offsets.first) }
    for i in rows.indices where offsets[i + 1] < offsets[i] {
      throw .decreasingOffset(row: i, from: offsets[i], to: offsets[i + 1])
    }
    guard offsets[rows.count] == pages.count, pages.count <= Int(Int32.max) else {
      throw .pageCount(expected: offsets[rows.count], found: pages.count)
    }
    var sorted: [Int32] = []
    sorted.reserveCapacity(pages.count)
    for (i, row) in rows.enumerated() {
      guard row.queries.lowerBound >= 0, !row.queries.isEmpty else {
        throw .queries(row: i, row.queries)
      }
      if let head = row.kvHead, head < 0 { throw .kvHead(row: i, head) }
      try Self.take(pages[offsets[i]..<offsets[i + 1]], row: i, into: &sorted)
    }
    self.rows = rows
    self.offsets = offsets.map { Int32(truncatingIfNeeded: $0) }
    self.pages = sorted
  }

  /// Appends one row's pages in ascending order.
  private static func take(_ pages: ArraySlice<Int>, row: Int, into sorted: inout [Int32])
    throws(Invalid)
  {
    let first = sorted.count
    var isAscending = true
    for page in pages {
      guard page >= 0, page < Int(Int32.max) else { throw .page(row: row, page: page) }
      if sorted.count > first, sorted[sorted.count - 1] >= page { isAscending = false }
      sorted.append(Int32(page))
    }
    if isAscending { return }
    sorted[first...].sort()
    for i in sorted.indices.dropFirst(first + 1) where sorted[i] == sorted[i - 1] {
      throw .duplicatePage(row: row, page: Int(sorted[i]))
    }
  }

  /// The number of block rows.
  public var count: Int { rows.count }

  /// The pages of block row `i`, by their numbers in the list of its request.
  public func pages(of i: Int) -> ArraySlice<Int32> { pages[Int(offsets[i])..<Int(offsets[i + 1])] }
}

extension BlockRows.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .offsetCount(let expected, let found):
      "block rows: \(expected) offsets expected, one more than rows, found \(found)"
    case .firstOffset(let value):
      "block rows: the first offset must be 0, found \(value.map(String.init) ?? "no offset")"
    case .decreasingOffset(let row, let from, let to):
      "block rows: offsets decrease from \(from) to \(to) at row \(row)"
    case .pageCount(let expected, let found):
      "block rows: \(expected) page numbers expected, found \(found)"
    case .queries(let row, let queries):
      "block rows: row \(row) has queries \(queries); expected at least one, from 0 on"
    case .kvHead(let row, let head): "block rows: row \(row) is for kv head \(head)"
    case .page(let row, let page): "block rows: row \(row) names page number \(page)"
    case .duplicatePage(let row, let page):
      "block rows: row \(row) names page number \(page) twice"
    case .size(let name, let size): "block rows: \(name) is \(size), expected at least 1"
    case .selectionCount(let expected, let found):
      "block rows: \(expected) lists of pages expected, one for each request, found \(found)"
    }
  }
}
