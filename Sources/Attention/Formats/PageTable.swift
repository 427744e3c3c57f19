/// Which pages hold each request's keys and values: a batch as block-sparse rows over one pool.
///
/// The conventions are FlashInfer's, so that data moves freely: request r owns pages
/// `indices[offsets[r] ..< offsets[r + 1]]`, all full but the last, which holds
/// `lastPageLengths[r]` tokens (1 to `pageSize`); a request without pages has no tokens.
/// Equivalently a BSR matrix of block size (any, pageSize), in which every block of queries reads
/// all pages of its request; ``BlockRows`` says which of them where it does not.
///
/// A request's pages hold its tokens from the first on, unless `positions` says otherwise: a cache
/// that has given up pages in the middle still knows where the others stand.
public struct PageTable: Sendable, Hashable {
  /// Tokens of a page.
  public let pageSize: Int
  /// Where each request's pages begin in `indices`, and the end.
  public let offsets: [Int32]
  /// Pages in the order of their tokens.
  public let indices: [Int32]
  /// The absolute position of each page's first token; empty where every request's pages hold
  /// consecutive tokens from its first on.
  public let positions: [Int32]
  /// Tokens of each request, those without pages among them: one more than its last position.
  public let kvLengths: [Int32]
  /// The largest page, −1 where there is none.
  let largestPage: Int32

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
    /// `indices[index]` is outside `0 ..< Int32.max`.
    case page(request: Int, index: Int, value: Int)
    /// A length is negative.
    case negativeLength(request: Int, value: Int)
    /// There must be one length for each request.
    case lengthCount(expected: Int, found: Int)
    /// There must be one position for each page.
    case positionCount(expected: Int, found: Int)
    /// A page's first position is outside the request, or less than a page after the page before.
    case position(request: Int, page: Int, value: Int, expected: ClosedRange<Int>)
    /// A request's length does not fit 32 bits.
    case length(request: Int, value: Int)
    /// There are more pages than 32 bits can count.
    case pageCount(Int)
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
    try Self.check(offsets: offsets, indices: indices, pageSize: pageSize)
    kvLengths = try Self.lengths(offsets, lastPageLengths, pageSize)
    self.pageSize = pageSize
    self.offsets = [Int32](narrowing: offsets)
    (self.indices, largestPage) = try Self.checked(indices, offsets)
    positions = []
  }

  /// Checks and takes pages that hold any of their request's tokens, not only the first ones.
  ///
  /// Every page is full, but for the one that holds the request's last token. Masks, windows and
  /// relative positions see the absolute positions; tokens without a page are not attended to.
  ///
  /// - Parameters:
  ///   - offsets: `requests + 1` non-decreasing numbers, the first 0.
  ///   - indices: The pages, in the order of their tokens.
  ///   - positions: The absolute position of each page's first token, at least `pageSize` apart
  ///     within a request; any multiple or none of the page size.
  ///   - kvLengths: Tokens of each request, those without pages among them.
  ///   - pageSize: Tokens of a page, at least 1.
  public init(offsets: [Int], indices: [Int], positions: [Int], kvLengths: [Int], pageSize: Int)
    throws(Invalid)
  {
    try Self.check(offsets: offsets, indices: indices, pageSize: pageSize)
    try Self.checkOrder(offsets)
    let requests = offsets.count - 1
    guard positions.count == indices.count else {
      throw .positionCount(expected: indices.count, found: positions.count)
    }
    guard kvLengths.count == requests else {
      throw .lengthCount(expected: requests, found: kvLengths.count)
    }
    var areConsecutive = true
    for r in 0..<requests {
      guard kvLengths[r] >= 0 else { throw .negativeLength(request: r, value: kvLengths[r]) }
      guard kvLengths[r] <= Int(Int32.max) else {
        throw .length(request: r, value: kvLengths[r])
      }
      var least = 0
      for i in offsets[r]..<offsets[r + 1] {
        guard positions[i] >= least, positions[i] < kvLengths[r] else {
          throw .position(
            request: r, page: i - offsets[r], value: positions[i],
            expected: least...max(least, kvLengths[r] - 1))
        }
        least = positions[i] + pageSize
      }
      // Pages do not overlap, so a request without gaps before its last page has none.
      let pages = offsets[r + 1] - offsets[r]
      areConsecutive = areConsecutive && pages * pageSize == least && kvLengths[r] <= least
    }
    self.pageSize = pageSize
    self.offsets = [Int32](narrowing: offsets)
    (self.indices, largestPage) = try Self.checked(indices, offsets)
    self.positions = areConsecutive ? [] : [Int32](narrowing: positions)
    self.kvLengths = [Int32](narrowing: kvLengths)
  }

  /// What all forms of a table must fulfil.
  private static func check(offsets: [Int], indices: [Int], pageSize: Int) throws(Invalid) {
    guard pageSize > 0, pageSize <= Int(Int32.max) else { throw .pageSize(pageSize) }
    guard offsets.first == 0 else { throw .firstOffset(offsets.first) }
    guard indices.count <= Int(Int32.max) else { throw .pageCount(indices.count) }
    guard offsets.last == indices.count else {
      // Of two mistakes the order is the one that explains the other.
      try checkOrder(offsets)
      throw .indexCount(expected: offsets.last ?? 0, found: indices.count)
    }
  }

  private static func checkOrder(_ offsets: [Int]) throws(Invalid) {
    for r in 0..<offsets.count - 1 where offsets[r + 1] < offsets[r] {
      throw .decreasingOffset(request: r, from: offsets[r], to: offsets[r + 1])
    }
  }

  /// The tokens of each request; only a wrong table is searched.
  private static func lengths(_ offsets: [Int], _ lastPageLengths: [Int], _ pageSize: Int)
    throws(Invalid) -> [Int32]
  {
    let requests = offsets.count - 1
    guard lastPageLengths.count == requests else {
      throw .lastPageLengthCount(expected: requests, found: lastPageLengths.count)
    }
    let found = PageLengths(
      offsets: offsets, lastPageLengths: lastPageLengths, pageSize: pageSize)
    if found.areRight { return found.lengths }
    try checkOrder(offsets)
    for r in 0..<requests {
      let (pages, last) = (offsets[r + 1] - offsets[r], lastPageLengths[r])
      guard pages == 0 ? last == 0 : (1...pageSize).contains(last) else {
        throw .lastPageLength(request: r, value: last, pageSize: pageSize)
      }
      // Of a wrong product the full one is told as far as it can be.
      let (full, overflow) = (pages - 1).multipliedReportingOverflow(by: pageSize)
      let length = overflow ? Int.max : full.addingReportingOverflow(last).partialValue
      guard length <= Int(Int32.max) else { throw .length(request: r, value: length) }
    }
    return found.lengths
  }

  /// The pages in 32 bits and the largest of them; only a wrong table is searched.
  private static func checked(_ indices: [Int], _ offsets: [Int]) throws(Invalid)
    -> (pages: [Int32], largest: Int32)
  {
    let narrow = NarrowedPages(indices)
    if let largest = narrow.largest { return (narrow.pages, largest) }
    for r in 0..<offsets.count - 1 {
      for i in offsets[r]..<offsets[r + 1] where !(0..<Int(Int32.max)).contains(indices[i]) {
        throw .page(request: r, index: i, value: indices[i])
      }
    }
    return (narrow.pages, -1)
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
    var offsets = [0]
    var last: [Int] = []
    for (r, length) in lengths.enumerated() {
      guard length >= 0 else { throw .negativeLength(request: r, value: length) }
      guard length <= Int(Int32.max) else { throw .length(request: r, value: length) }
      let pages = length / pageSize + (length % pageSize == 0 ? 0 : 1)
      offsets.append(offsets[r] + pages)
      last.append(pages == 0 ? 0 : length - (pages - 1) * pageSize)
    }
    guard offsets[lengths.count] < Int(Int32.max) else { throw .pageCount(offsets[lengths.count]) }
    try self.init(
      offsets: offsets, indices: Array(0..<offsets[lengths.count]), lastPageLengths: last,
      pageSize: pageSize)
  }

  /// The number of requests.
  public var requestCount: Int { kvLengths.count }

  /// The pages of request `r`.
  public func pages(of r: Int) -> ArraySlice<Int32> {
    indices[Int(offsets[r])..<Int(offsets[r + 1])]
  }

  /// The number of pages of request `r`.
  public func pageCount(of r: Int) -> Int { Int(offsets[r + 1] - offsets[r]) }

  /// The absolute position of the first token of page number `page` of request `r`.
  public func position(of page: Int, in r: Int) -> Int {
    positions.isEmpty ? page * pageSize : Int(positions[Int(offsets[r]) + page])
  }

  /// The tokens in page number `page` of request `r`, a full page but for the request's last token.
  public func tokenCount(of page: Int, in r: Int) -> Int {
    min(pageSize, Int(kvLengths[r]) - position(of: page, in: r))
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
    case .page(let r, let index, let value):
      "page table: indices[\(index)], of request \(r), is \(value); expected a page, "
        + "0 ..< \(Int32.max)"
    case .negativeLength(let r, let value): "page table: request \(r) has length \(value)"
    case .lengthCount(let expected, let found):
      "page table: \(expected) lengths expected, one for each request, found \(found)"
    case .positionCount(let expected, let found):
      "page table: \(expected) positions expected, one for each page, found \(found)"
    case .position(let r, let page, let value, let expected):
      "page table: page \(page) of request \(r) begins at position \(value); expected "
        + "\(expected.lowerBound) ... \(expected.upperBound)"
    case .length(let r, let value):
      "page table: request \(r) has length \(value); expected at most \(Int32.max)"
    case .pageCount(let count):
      "page table: \(count) page indices; expected at most \(Int32.max)"
    }
  }
}
