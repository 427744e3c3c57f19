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

  /// Why queries and pages do not fit together.
  public enum Invalid: Error, Hashable {
    /// The number of requests differs.
    case requestCount(queries: Int, pages: Int)
    /// A row or length does not fit 32 bits.
    case tooLarge(Int)
  }

  /// A batch; both parts must have the same number of requests.
  public init(queries: RaggedIndex, pages: PageTable) throws(Invalid) {
    guard queries.count == pages.requestCount else {
      throw .requestCount(queries: queries.count, pages: pages.requestCount)
    }
    guard queries.total <= Int(Int32.max) else { throw .tooLarge(queries.total) }
    self.queries = queries
    self.pages = pages
  }

  /// The number of requests.
  public var requestCount: Int { pages.requestCount }

  /// The slots (page · pageSize + place in the page) of every new token, in row order.
  ///
  /// A request's new tokens are its last ones; where it has more queries than keys, the first
  /// queries have no slot and give −1.
  public var newTokenSlots: [Int] {
    var slots: [Int] = []
    slots.reserveCapacity(queries.total)
    for r in 0..<requestCount {
      let length = Int(pages.kvLengths[r])
      for i in queries[r].indices {
        let position = length - queries[r].upperBound + i
        guard position >= 0 else {
          slots.append(-1)
          continue
        }
        let page = Int(pages.indices[Int(pages.offsets[r]) + position / pages.pageSize])
        slots.append(page * pages.pageSize + position % pages.pageSize)
      }
    }
    return slots
  }
}

extension AttentionBatch.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .requestCount(let queries, let pages):
      "attention batch: queries of \(queries) requests but pages of \(pages)"
    case .tooLarge(let value): "attention batch: \(value) does not fit 32 bits"
    }
  }
}
