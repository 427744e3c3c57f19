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
    /// There must be one length for each request.
    case lengthCount(expected: Int, found: Int)
    /// There must be one position for each page.
    case positionCount(expected: Int, found: Int)
    /// A page's first position is outside the request, or less than a page after the page before.
    case position(request: Int, page: Int, value: Int, expected: ClosedRange<Int>)
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
    try Self.check(offsets: offsets, indices: indices, pageSize: pageSize)
    kvLengths = try Self.lengths(offsets, lastPageLengths, pageSize)
    self.pageSize = pageSize
    self.offsets = offsets.map { Int32(truncatingIfNeeded: $0) }
    self.indices = try Self.checked(indices, offsets)
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
      guard kvLengths[r] <= Int(Int32.max) else { throw .tooLarge(kvLengths[r]) }
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
    self.offsets = offsets.map { Int32(truncatingIfNeeded: $0) }
    self.indices = try Self.checked(indices, offsets)
    self.positions = areConsecutive ? [] : positions.map { Int32(truncatingIfNeeded: $0) }
    self.kvLengths = kvLengths.map { Int32(truncatingIfNeeded: $0) }
  }

  /// What all forms of a table must fulfil.
  private static func check(offsets: [Int], indices: [Int], pageSize: Int) throws(Invalid) {
    guard pageSize > 0, pageSize <= Int(Int32.max) else { throw .pageSize(pageSize) }
    guard offsets.first == 0 else { throw .firstOffset(offsets.first) }
    guard indices.count <= Int(Int32.max) else { throw .tooLarge(indices.count) }
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

  /// The tokens of each request.
  ///
  /// As for `checked(_:_:)`, one pass computes them and gathers the signs of what must not be
  /// negative; only a wrong table is searched.
  private static func lengths(_ offsets: [Int], _ lastPageLengths: [Int], _ pageSize: Int)
    throws(Invalid) -> [Int32]
  {
    let requests = offsets.count - 1
    guard lastPageLengths.count == requests else {
      throw .lastPageLengthCount(expected: requests, found: lastPageLengths.count)
    }
    var signs = 0
    let lengths = [Int32](unsafeUninitializedCapacity: requests) { target, count in
      for r in 0..<requests {
        let (pages, last) = (offsets[r + 1] &- offsets[r], lastPageLengths[r])
        let hasPages = pages == 0 ? 0 : 1
        let length = (pages &- hasPages) &* pageSize &+ last
        signs |= pages | (last &- hasPages) | (hasPages &* pageSize &- last)
        // Neither pages nor their tokens exceed 32 bits, so that nothing has wrapped around.
        signs |= (Int(Int32.max) &- pages) | (Int(Int32.max) &- length)
        target.initializeElement(at: r, to: Int32(truncatingIfNeeded: length))
      }
      count = requests
    }
    if signs >= 0 { return lengths }
    try checkOrder(offsets)
    for r in 0..<requests {
      let (pages, last) = (offsets[r + 1] - offsets[r], lastPageLengths[r])
      guard pages == 0 ? last == 0 : (1...pageSize).contains(last) else {
        throw .lastPageLength(request: r, value: last, pageSize: pageSize)
      }
      _ = try length(pages: pages, last: last, pageSize: pageSize)
    }
    return lengths
  }

  /// The pages in 32 bits.
  ///
  /// Most tables are right, which the bits of all pages together show: copying collects them on its
  /// way, and only a wrong table is searched.
  private static func checked(_ indices: [Int], _ offsets: [Int]) throws(Invalid) -> [Int32] {
    var bits = 0
    let narrow = [Int32](unsafeUninitializedCapacity: indices.count) { target, count in
      for i in indices.indices {
        bits |= indices[i]
        target.initializeElement(at: i, to: Int32(truncatingIfNeeded: indices[i]))
      }
      count = indices.count
    }
    if (0..<Int(Int32.max)).contains(bits) { return narrow }
    for r in 0..<offsets.count - 1 {
      for page in indices[offsets[r]..<offsets[r + 1]] {
        guard page >= 0 else { throw .negativePage(request: r, page: page) }
        guard page < Int(Int32.max) else { throw .tooLarge(page) }
      }
    }
    return narrow
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
    case .negativePage(let r, let page): "page table: request \(r) names page \(page)"
    case .negativeLength(let r, let value): "page table: request \(r) has length \(value)"
    case .lengthCount(let expected, let found):
      "page table: \(expected) lengths expected, one for each request, found \(found)"
    case .positionCount(let expected, let found):
      "page table: \(expected) positions expected, one for each page, found \(found)"
    case .position(let r, let page, let value, let expected):
      "page table: page \(page) of request \(r) begins at position \(value); expected "
        + "\(expected.lowerBound) ... \(expected.upperBound)"
    case .tooLarge(let value): "page table: \(value) does not fit 32 bits"
    }
  }
}
