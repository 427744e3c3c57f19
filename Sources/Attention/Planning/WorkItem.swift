/// A block of query rows and the keys they read together.
///
/// Rows are packed (query, head of the group): row p is query p / g of the tile's list, head
/// p mod g of each group. The queries may belong to several requests; every key of the tile then
/// stands at the same position of the same page for all of them.
package struct QueryTile: Sendable, Hashable, BitwiseCopyable {
  /// Where the tile's queries begin in the plan's list of query rows.
  package var firstQuery: Int32
  /// The packed row of its first row; not 0 only where a group is taller than a tile.
  package var firstMember: Int32
  /// The number of packed rows.
  package var rowCount: Int32
  /// Where the page of key 0 stands in the plan's page indices.
  package var pages: Int32
  /// The first key read; on a cut between panels where keys lie in panels.
  package var kvFirst: Int32
  /// The end of the keys read.
  package var kvEnd: Int32
  /// Whether keys are numbered through the tile's own list of pages, whose absolute positions
  /// stand beside their indices; if not, a key's number is its position.
  package var hasPositions: Bool
  /// The only key/value head that the tile is for; −1 stands for all.
  package var kvHead: Int32
  /// Whether its rows read no keys outside this tile.
  package var isSole: Bool

  /// A tile.
  package init(
    firstQuery: Int32 = 0, firstMember: Int32 = 0, rowCount: Int32, pages: Int32 = 0,
    kvFirst: Int32, kvEnd: Int32, hasPositions: Bool = false, kvHead: Int32 = -1,
    isSole: Bool = true
  ) {
    self.firstQuery = firstQuery
    self.firstMember = firstMember
    self.rowCount = rowCount
    self.pages = pages
    self.kvFirst = kvFirst
    self.kvEnd = kvEnd
    self.hasPositions = hasPositions
    self.kvHead = kvHead
    self.isSole = isSole
  }

  /// Whether both find their keys by the same list of pages.
  @inline(__always)
  func sharesPages(with other: QueryTile) -> Bool {
    pages == other.pages && hasPositions == other.hasPositions
  }

  @inline(__always)
  var length: Int { Int(kvEnd - kvFirst) }

  /// The key/value heads that the tile is for.
  @inline(__always)
  func heads(of kvHeads: Int) -> Range<Int> {
    kvHead < 0 ? 0..<kvHeads : Int(kvHead)..<Int(kvHead) + 1
  }
}

/// A chunk of a query tile's keys, for some key/value heads: a worker's unit of work.
package struct WorkItem: Sendable, Hashable, BitwiseCopyable {
  /// The query tile's number.
  package var tile: Int32
  /// The first key.
  package var kvFirst: Int32
  /// The end of the keys.
  package var kvEnd: Int32
  /// The first key/value head.
  package var firstHead: Int32
  /// The end of the key/value heads.
  package var headEnd: Int32
  /// Where its partial states begin, one for each head and row; −1 writes straight to the output.
  package var state: Int32

  /// The number of key/value heads.
  @inline(__always)
  package var heads: Int { Int(headEnd - firstHead) }
}

/// A query's rows of one key/value head that several work items computed parts of.
package struct MergeItem: Sendable, Hashable, BitwiseCopyable {
  /// The row of the query and output matrices.
  package var query: Int32
  /// The first query head.
  package var queryHead: Int32
  /// The number of query heads.
  package var heads: Int32
  /// Where its parts begin in the list of merged states: for each part the state of the first head,
  /// those of the others following it.
  package var first: Int32
  /// The number of parts.
  package var count: Int32
}
