public import Tensors

/// The requests of one step: how many new queries each brings, and where its keys are.
///
/// Request r's queries are rows `queries[r]` of the query matrix and stand at absolute positions
/// `kvLength − queryLength ..< kvLength`: the new tokens' keys count among the kvLength.
/// Decode is a query length of 1, prefill a longer one; a batch mixes both freely.
public struct AttentionBatch: Sendable, Hashable {
  /// The rows of each request in the query and output matrices.
  public let queries: RaggedIndex
  /// Each request's pages and its number of keys.
  public let pages: PageTable
  /// Which of its request's pages each block of queries reads; `nil` where all read all.
  public let rows: BlockRows?

  /// Why queries, pages and block rows do not fit together.
  public enum Invalid: Error, Hashable {
    /// The number of requests differs.
    case requestCount(queries: Int, pages: Int)
    /// There are more queries than 32 bits can count.
    case queryCount(Int)
    /// The offsets of the queries are not valid.
    case queries(RaggedIndex.Invalid)
    /// A block row's request does not exist, or comes after a later one's.
    case blockRowRequest(row: Int, request: Int, expected: Range<Int>)
    /// A block row does not begin where the one before it ends, or has more queries than are left.
    case blockRowQueries(row: Int, request: Int, expected: Range<Int>, found: Range<Int>)
    /// A block row is for another key/value head than its place says: heads come in order, every
    /// one covering all queries of its request before the next.
    case blockRowHead(row: Int, request: Int, expected: Int?, found: Int?)
    /// The block rows do not cover a request's queries (of its last head).
    case uncovered(request: Int, queries: Range<Int>)
    /// A block row names a page that its request does not have.
    case blockRowPage(row: Int, page: Int, pageCount: Int)
  }

  /// A batch; all parts must have the same number of requests.
  ///
  /// - Parameters:
  ///   - queries: The rows of each request.
  ///   - pages: Each request's pages.
  ///   - rows: Which of them each block of queries reads; by default all read all.
  public init(queries: RaggedIndex, pages: PageTable, rows: BlockRows? = nil) throws(Invalid) {
    guard queries.count == pages.requestCount else {
      throw .requestCount(queries: queries.count, pages: pages.requestCount)
    }
    guard queries.total <= Int(Int32.max) else { throw .queryCount(queries.total) }
    self.queries = queries
    self.pages = pages
    self.rows = rows
    if let rows { try check(rows) }
  }

  /// A batch from the offsets of its queries (`qo_indptr`).
  public init(offsets: [Int], pages: PageTable, rows: BlockRows? = nil) throws(Invalid) {
    let queries: RaggedIndex
    do {
      queries = try RaggedIndex(offsets: offsets)
    } catch {
      throw .queries(error)
    }
    try self.init(queries: queries, pages: pages, rows: rows)
  }

  /// Whether every query reads all keys of its request from the first on.
  var isContiguous: Bool { rows == nil && pages.positions.isEmpty }

  /// The number of requests.
  public var requestCount: Int { pages.requestCount }

  /// The slots (page · pageSize + place in the page) of every new token, in row order.
  ///
  /// A request's new tokens are its last ones; −1 stands for a query that has no slot, because its
  /// request has fewer keys than queries or no page for its position.
  public var newTokenSlots: [Int] {
    var slots: [Int] = []
    slots.reserveCapacity(queries.total)
    for r in 0..<requestCount {
      let first = Int(pages.kvLengths[r]) - queries[r].count
      for i in 0..<queries[r].count { slots.append(pages.slot(of: first + i, in: r) ?? -1) }
    }
    return slots
  }

  /// Every new token at or after position 0 must have a page.
  func checkNewTokens() throws(AppendIndices.Invalid) {
    for r in 0..<requestCount {
      let first = Int(pages.kvLengths[r]) - queries[r].count
      for i in 0..<queries[r].count
      where first + i >= 0 && pages.slot(of: first + i, in: r) == nil {
        throw .position(
          row: queries[r].lowerBound + i, request: r, value: first + i,
          kvLength: Int(pages.kvLengths[r]))
      }
    }
  }

  /// Block rows must cover every request's queries in order, for all heads or head after head.
  private func check(_ rows: BlockRows) throws(Invalid) {
    var (request, head, next): (Int, Int?, Int) = (0, nil, 0)
    for (i, row) in rows.rows.enumerated() {
      if row.request != request {
        guard (request + 1..<max(request + 1, requestCount)).contains(row.request) else {
          throw .blockRowRequest(row: i, request: row.request, expected: request..<requestCount)
        }
        try checkEnd(of: request, next, upTo: row.request)
        (request, head, next) = (row.request, row.kvHead.map { _ in 0 }, 0)
      } else if next == 0 {
        head = row.kvHead.map { _ in 0 }
      } else if next == queries[request].count, let covered = head {
        (head, next) = (covered + 1, 0)
      }
      guard request < requestCount else {
        throw .blockRowRequest(row: i, request: row.request, expected: 0..<requestCount)
      }
      guard row.kvHead == head else {
        throw .blockRowHead(row: i, request: request, expected: head, found: row.kvHead)
      }
      let rest = next..<queries[request].count
      guard row.queries.lowerBound == next, row.queries.upperBound <= rest.upperBound else {
        throw .blockRowQueries(row: i, request: request, expected: rest, found: row.queries)
      }
      next = row.queries.upperBound
      // Pages ascend, so the last one says it for all.
      if let last = rows.pages(of: i).last, last >= pages.pageCount(of: request) {
        throw .blockRowPage(row: i, page: Int(last), pageCount: pages.pageCount(of: request))
      }
    }
    try checkEnd(of: request, next, upTo: requestCount)
  }

  /// The queries of `request` are covered, and no request before `end` has queries left out.
  private func checkEnd(of request: Int, _ next: Int, upTo end: Int) throws(Invalid) {
    guard request < requestCount else { return }
    guard next == queries[request].count else {
      throw .uncovered(request: request, queries: next..<queries[request].count)
    }
    for r in request + 1..<max(end, request + 1) where !queries[r].isEmpty {
      throw .uncovered(request: r, queries: 0..<queries[r].count)
    }
  }
}

extension AttentionBatch.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .requestCount(let queries, let pages):
      "attention batch: queries of \(queries) requests but pages of \(pages)"
    case .queryCount(let count):
      "attention batch: \(count) queries; expected at most \(Int32.max)"
    case .queries(let error): error.description
    case .blockRowRequest(let row, let request, let expected):
      "attention batch: block row \(row) is of request \(request); expected one of \(expected)"
    case .blockRowQueries(let row, let request, let expected, let found):
      "attention batch: block row \(row) has queries \(found) of request \(request); expected "
        + "them from \(expected.lowerBound) on, at most up to \(expected.upperBound)"
    case .blockRowHead(let row, let request, let expected, let found):
      "attention batch: block row \(row) of request \(request) is for "
        + "\(found.map { "kv head \($0)" } ?? "every head"); expected "
        + "\(expected.map { "kv head \($0)" } ?? "every head")"
    case .uncovered(let request, let queries):
      "attention batch: queries \(queries) of request \(request) are in no block row"
    case .blockRowPage(let row, let page, let count):
      "attention batch: block row \(row) names page number \(page) of a request with \(count)"
    }
  }
}
