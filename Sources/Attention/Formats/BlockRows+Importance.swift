public import Tensors

extension BlockRows {
  /// An importance mask: all queries of a request read the pages chosen for it.
  ///
  /// Quest (arXiv 2406.10774) chooses the pages whose bounds promise the largest scores.
  ///
  /// - Parameters:
  ///   - selected: For each request the numbers of its chosen pages, in any order.
  ///   - queries: The rows of each request.
  public init(selecting selected: [[Int]], queries: RaggedIndex) throws(Invalid) {
    try self.init(selecting: selected.map { [$0] }, queries: queries, isPerHead: false)
  }

  /// An importance mask with pages chosen for each key/value head.
  ///
  /// - Parameters:
  ///   - selected: For each request and each key/value head the numbers of the chosen pages.
  ///   - queries: The rows of each request.
  public init(selectingPerHead selected: [[[Int]]], queries: RaggedIndex) throws(Invalid) {
    try self.init(selecting: selected, queries: queries, isPerHead: true)
  }

  private init(selecting selected: [[[Int]]], queries: RaggedIndex, isPerHead: Bool)
    throws(Invalid)
  {
    guard selected.count == queries.count else {
      throw .selectionCount(expected: queries.count, found: selected.count)
    }
    var rows: [Row] = []
    var offsets = [0]
    var pages: [Int] = []
    for (r, lists) in selected.enumerated() where !queries[r].isEmpty {
      for (head, list) in lists.enumerated() {
        rows.append(
          Row(request: r, queries: 0..<queries[r].count, kvHead: isPerHead ? head : nil))
        pages += list
        offsets.append(pages.count)
      }
    }
    try self.init(rows: rows, offsets: offsets, pages: pages)
  }
}
