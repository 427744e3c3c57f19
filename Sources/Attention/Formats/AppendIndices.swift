public import Tensors

/// Where appended tokens go: the request and the absolute position of each, in row order.
///
/// FlashInfer's `batch_indices` and `positions`, which `append_paged_kv_cache` takes.
public struct AppendIndices: Sendable, Hashable {
  /// The request of each row.
  public let batchIndices: [Int]
  /// The absolute position of each row within its request.
  public let positions: [Int]

  /// What is wrong with the indices of appended tokens.
  public enum Invalid: Error, Hashable {
    /// There must be one length for each request.
    case lengthCount(expected: Int, found: Int)
    /// A request gets more new tokens than it has tokens.
    case length(request: Int, appended: Int, kvLength: Int)
    /// There must be one position for each batch index.
    case positionCount(expected: Int, found: Int)
    /// A row names a request that the page table does not have.
    case batchIndex(row: Int, value: Int, requestCount: Int)
    /// No page of the request holds the row's position.
    case position(row: Int, request: Int, value: Int, kvLength: Int)
  }

  /// Takes explicit indices; they are checked where they meet a page table.
  public init(batchIndices: [Int], positions: [Int]) throws(Invalid) {
    guard batchIndices.count == positions.count else {
      throw .positionCount(expected: batchIndices.count, found: positions.count)
    }
    self.batchIndices = batchIndices
    self.positions = positions
  }

  /// The indices of new tokens that are the last ones of their requests
  /// (`get_batch_indices_positions`).
  ///
  /// - Parameters:
  ///   - appended: The rows of each request (`append_indptr`).
  ///   - kvLengths: Tokens of each request, the new ones among them (`seq_lens`).
  public init(appended: RaggedIndex, kvLengths: [Int]) throws(Invalid) {
    guard kvLengths.count == appended.count else {
      throw .lengthCount(expected: appended.count, found: kvLengths.count)
    }
    var batchIndices: [Int] = []
    var positions: [Int] = []
    batchIndices.reserveCapacity(appended.total)
    positions.reserveCapacity(appended.total)
    for (r, length) in kvLengths.enumerated() {
      let count = appended[r].count
      guard count <= length else {
        throw .length(request: r, appended: count, kvLength: length)
      }
      batchIndices += repeatElement(r, count: count)
      positions += length - count..<length
    }
    self.batchIndices = batchIndices
    self.positions = positions
  }
}

extension PageTable {
  /// Tokens in each request's last page, 0 for a request without pages (`kv_last_page_len`).
  public var lastPageLengths: [Int] {
    (0..<requestCount).map { r in
      let pages = pageCount(of: r)
      return pages == 0 ? 0 : tokenCount(of: pages - 1, in: r)
    }
  }

  /// Tokens in the last page of requests of the given lengths, which are at least 0.
  public static func lastPageLengths(kvLengths: [Int], pageSize: Int) throws(Invalid) -> [Int] {
    guard pageSize > 0 else { throw .pageSize(pageSize) }
    var lengths: [Int] = []
    for (r, length) in kvLengths.enumerated() {
      guard length >= 0 else { throw .negativeLength(request: r, value: length) }
      lengths.append(length == 0 ? 0 : (length - 1) % pageSize + 1)
    }
    return lengths
  }

  /// The slot (page · pageSize + place in the page) of a position of request `r`, `nil` where no
  /// page of the request holds it.
  public func slot(of position: Int, in r: Int) -> Int? {
    guard position >= 0, position < Int(kvLengths[r]) else { return nil }
    var number = position / pageSize
    if !positions.isEmpty {
      // The last page that begins at or before the position.
      let first = Int(offsets[r])
      var (low, high) = (0, pageCount(of: r))
      while low < high {
        let middle = (low + high) / 2
        if Int(positions[first + middle]) <= position { low = middle + 1 } else { high = middle }
      }
      number = low - 1
    }
    guard number >= 0, number < pageCount(of: r) else { return nil }
    let place = position - self.position(of: number, in: r)
    guard place < pageSize else { return nil }
    return Int(indices[Int(offsets[r]) + number]) * pageSize + place
  }

  /// The slots of appended tokens, for `PagedKVCache.append(keys:values:slots:on:)`.
  public func slots(of appended: AppendIndices) throws(AppendIndices.Invalid) -> [Int] {
    var slots: [Int] = []
    slots.reserveCapacity(appended.positions.count)
    for (row, r) in appended.batchIndices.enumerated() {
      guard (0..<requestCount).contains(r) else {
        throw .batchIndex(row: row, value: r, requestCount: requestCount)
      }
      let position = appended.positions[row]
      guard let slot = slot(of: position, in: r) else {
        throw .position(row: row, request: r, value: position, kvLength: Int(kvLengths[r]))
      }
      slots.append(slot)
    }
    return slots
  }
}

extension AppendIndices.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .lengthCount(let expected, let found):
      "append indices: \(expected) lengths expected, one for each request, found \(found)"
    case .length(let r, let appended, let length):
      "append indices: request \(r) gets \(appended) tokens but has only \(length)"
    case .positionCount(let expected, let found):
      "append indices: \(expected) positions expected, one for each batch index, found \(found)"
    case .batchIndex(let row, let value, let count):
      "append indices: row \(row) names request \(value), outside 0 ..< \(count)"
    case .position(let row, let r, let value, let length):
      "append indices: row \(row) has position \(value), which no page of request \(r) with "
        + "\(length) tokens holds"
    }
  }
}
