/// Which pages hold each request's keys and values: a batch as block-sparse rows over one pool.
///
/// The conventions are FlashInfer's, so that data moves freely: request r owns pages
/// `indices[offsets[r] ..< offsets[r + 1]]`, all full but the last, which holds
/// `lastPageLengths[r]` tokens (1 to `pageSize`); a request without pages has no tokens.
/// Equivalently a BSR matrix of block size (any, pageSize).
public struct PageTable: Sendable, Hashable {
  /// Tokens of a page.
  public let pageSize: Int
  /// Where each request's pages begin in `indices`, and the end.
  public let offsets: [Int32]
  /// Pages in the order of their tokens.
  public let indices: [Int32]
  /// Tokens of each request.
  public let kvLengths: [Int32]

  /// What is wrong with a page table.
  public enum Invalid: Error, Hashable {
    /// The page size is not positive.
    case pageSize(Int)
    /// The offsets do not start at 0.
    case firstOffset(Int?)
    /// The offsets decrease.
    case decreasingOffset(request: Int, from: Int, to: Int)
    /// The last offset is not the number of indices.
    case indexCount(expected: Int, found: Int)
    /// There must be one last-page length for each request.
    case lastPageLengthCount(expected: Int, found: Int)
    /// A last page's length is outside `1 ... pageSize`, or not 0 for a request without pages.
    case lastPageLength(request: Int, value: Int, pageSize: Int)
    /// A page is negative.
    case negativePage(request: Int, page: Int)
    /// A length is negative.
    case negativeLength(request: Int, value: Int)
    /// A number does not fit 32 bits.
    case tooLarge(Int)
  }

  /// Checks and takes a page table in FlashInfer's form.
  ///
  /// - Parameters:
  ///   - offsets: `requests + 1` non-decreasing numbers, the first 0 (`kv_indptr`).
  ///   - indices: The pages (`kv_indices`). Whether they exist is checked against a cache by the
  ///     plan.
  ///   - lastPageLengths: Tokens in each request's last page (`kv_last_page_len`).
  ///   - pageSize: Tokens of a page, at least 1.
  public init(offsets: [Int], indices: [Int], lastPageLengths: [Int], pageSize: Int)
    throws(Invalid)
  {
    guard pageSize > 0, pageSize <= Int(Int32.max) else { throw .pageSize(pageSize) }
    guard offsets.first == 0 else { throw .firstOffset(offsets.first) }
    let requests = offsets.count - 1
    guard lastPageLengths.count == requests else {
      throw .lastPageLengthCount(expected: requests, found: lastPageLengths.count)
    }
    guard indices.count <= Int(Int32.max) else { throw .tooLarge(indices.count) }
    for r in 0..<requests where offsets[r + 1] < offsets[r] {
      throw .decreasingOffset(request: r, from: offsets[r], to: offsets[r + 1])
    }
    guard offsets[requests] == indices.count else {
      throw .indexCount(expected: offsets[requests], found: indices.count)
    }
    var lengths: [Int32] = []
    lengths.reserveCapacity(requests)
    for r in 0..<requests {
      let pages = offsets[r + 1] - offsets[r]
      let last = lastPageLengths[r]
      guard pages == 0 ? last == 0 : (1...pageSize).contains(last) else {
        throw .lastPageLength(request: r, value: last, pageSize: pageSize)
      }
      for page in indices[offsets[r]..<offsets[r + 1]] {
        guard page >= 0 else { throw .negativePage(request: r, page: page) }
        guard page < Int(Int32.max) else { throw .tooLarge(page) }
      }
      lengths.append(try Self.length(pages: pages, last: last, pageSize: pageSize))
    }
    self.pageSize = pageSize
    self.offsets = offsets.map { Int32(truncatingIfNeeded: $0) }
    self.indices = indices.map { Int32(truncatingIfNeeded: $0) }
    kvLengths = lengths
  }

  private static func length(pages: Int, last: Int, pageSize: Int) throws(Invalid) -> Int32 {
    let (full, overflow) = max(pages - 1, 0).multipliedReportingOverflow(by: pageSize)
    let (length, tooLong) = full.addingReportingOverflow(last)
    guard !overflow, !tooLong, length <= Int(Int32.max) else { throw .tooLarge(full) }
    return Int32(length)
  }

  /// A page table from each request's pages and its number of tokens.
  ///
  /// - Parameters:
  ///   - requests: Pages in the order of their tokens, and the tokens that have keys. More pages
  ///     than the tokens need are allowed and left out.
  ///   - pageSize: Tokens of a page, at least 1.
  public init(requests: [(pages: [Int], kvLength: Int)], pageSize: Int) throws(Invalid) {
    guard pageSize > 0 else { throw .pageSize(pageSize) }
    var offsets = [0]
    var indices: [Int] = []
    var last: [Int] = []
    for (r, request) in requests.enumerated() {
      guard request.kvLength >= 0 else {
        throw .negativeLength(request: r, value: request.kvLength)
      }
      let needed = request.kvLength / pageSize + (request.kvLength % pageSize == 0 ? 0 : 1)
      guard request.pages.count >= needed else {
        throw .indexCount(expected: needed, found: request.pages.count)
      }
      indices += request.pages.prefix(needed)
      offsets.append(indices.count)
      last.append(needed == 0 ? 0 : request.kvLength - (needed - 1) * pageSize)
    }
    try self.init(offsets: offsets, indices: indices, lastPageLengths: last, pageSize: pageSize)
  }

  /// A ragged batch without pages of its own making: request after request, each in consecutive
  /// pages of the pool and starting on a new one.
  public init(raggedLengths lengths: [Int], pageSize: Int) throws(Invalid) {
    guard pageSize > 0 else { throw .pageSize(pageSize) }
    var next = 0
    var requests: [(pages: [Int], kvLength: Int)] = []
    for (r, length) in lengths.enumerated() {
      guard length >= 0 else { throw .negativeLength(request: r, value: length) }
      let pages = length / pageSize + (length % pageSize == 0 ? 0 : 1)
      guard pages < Int(Int32.max) - next else { throw .tooLarge(length) }
      requests.append((Array(next..<next + pages), length))
      next += pages
    }
    try self.init(requests: requests, pageSize: pageSize)
  }

  /// The number of requests.
  public var requestCount: Int { kvLengths.count }

  /// The pages of request `r`.
  public func pages(of r: Int) -> ArraySlice<Int32> {
    indices[Int(offsets[r])..<Int(offsets[r + 1])]
  }
}

extension PageTable.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .pageSize(let size): "page table: page size \(size) is not in 1 ... \(Int32.max)"
    case .firstOffset(let value):
      "page table: the first offset must be 0, found \(value.map(String.init) ?? "no offset")"
    case .decreasingOffset(let r, let from, let to):
      "page table: offsets decrease from \(from) to \(to) at request \(r)"
    case .indexCount(let expected, let found):
      "page table: \(expected) page indices expected, found \(found)"
    case .lastPageLengthCount(let expected, let found):
      "page table: \(expected) last-page lengths expected, one for each request, found \(found)"
    case .lastPageLength(let r, let value, let size):
      "page table: request \(r) has last-page length \(value); expected 1 ... \(size), "
        + "or 0 for a request without pages"
    case .negativePage(let r, let page): "page table: request \(r) names page \(page)"
    case .negativeLength(let r, let value): "page table: request \(r) has length \(value)"
    case .tooLarge(let value): "page table: \(value) does not fit 32 bits"
    }
  }
}
