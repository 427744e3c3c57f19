internal import Tensors

// Batches in which not all queries read all pages, or pages stand at positions of their own.
extension AttentionPlan {
  /// A list of pages as the tiles of one block row read it.
  private struct PageList {
    /// Where it begins in `pageIndices` and `pagePositions`.
    var first: Int
    var pages: Int
    /// Tokens in all its pages.
    var tokens: Int
    /// The number of key 0's page, where keys are numbered by position; `nil` where they are
    /// numbered through the list.
    var keyZero: Int?
  }

  /// Copies the pages, and their positions, that block rows name.
  func takePages(of batch: AttentionBatch) {
    pagePositions.removeAll()
    guard let rows = batch.rows else {
      pageIndices.assign(batch.pages.indices)
      pagePositions.assign(batch.pages.positions)
      return
    }
    pageIndices.removeAll()
    for (i, row) in rows.rows.enumerated() {
      let first = Int(batch.pages.offsets[row.request])
      for page in rows.pages(of: i) {
        pageIndices.append(batch.pages.indices[first + Int(page)])
        pagePositions.append(Int32(batch.pages.position(of: Int(page), in: row.request)))
      }
    }
  }

  /// Adds the tiles of every block row; a request without block rows is one.
  func addBlockRows(of batch: AttentionBatch) throws(Failure) {
    guard let rows = batch.rows else {
      for request in 0..<batch.requestCount where !batch.queries[request].isEmpty {
        addTiles(
          of: request, queries: 0..<batch.queries[request].count, kvHead: nil,
          pageList(batch, request, from: Int(batch.pages.offsets[request])), batch)
      }
      return
    }
    var head = 0
    for (i, row) in rows.rows.enumerated() {
      head = row.kvHead.map { $0 + 1 } ?? shape.kvHeads
      let isLast = i + 1 == rows.count || rows.rows[i + 1].request != row.request
      if head > shape.kvHeads || isLast && head != shape.kvHeads {
        throw .blockRowHeads(request: row.request, expected: shape.kvHeads, found: head)
      }
      addTiles(
        of: row.request, queries: row.queries, kvHead: row.kvHead,
        pageList(batch, row.request, from: Int(rows.offsets[i]), count: rows.pages(of: i).count),
        batch)
    }
  }

  private func pageList(
    _ batch: AttentionBatch, _ request: Int, from first: Int, count: Int? = nil
  ) -> PageList {
    let pages = count ?? batch.pages.pageCount(of: request)
    var list = PageList(first: first, pages: pages, tokens: 0, keyZero: first)
    if pages == 0 { return list }
    let start = position(list, 0)
    let last = position(list, pages - 1)
    list.tokens = (pages - 1) * pageSize + min(pageSize, Int(kvLengths.base[request]) - last)
    // Pages without gaps, wherever they begin, are an ordinary list that is entered later.
    let isPlain = last - start == (pages - 1) * pageSize && start % pageSize == 0
    if !isPlain || start > 0 && pageSize % schedule.granule != 0 {
      list.keyZero = nil
    } else {
      list.keyZero = first - start / pageSize
    }
    return list
  }

  /// The absolute position of a page of a list; ascending.
  @inline(__always)
  private func position(_ list: PageList, _ page: Int) -> Int {
    pagePositions.count == 0 ? page * pageSize : Int(pagePositions.base[list.first + page])
  }

  /// Cuts a block row's queries into tiles, leaving out pages that the bounds exclude.
  private func addTiles(
    of request: Int, queries: Range<Int>, kvHead: Int?, _ list: PageList, _ batch: AttentionBatch
  ) {
    let group = shape.groupSize
    let kvLength = Int(kvLengths.base[request])
    let rows = max(Self.largestTile / group, 1)
    for first in stride(from: queries.lowerBound, to: queries.upperBound, by: rows) {
      let count = min(rows, queries.upperBound - first)
      let start = kvLength - batch.queries[request].count + first
      let bounded = bounds.keys(queries: start...start + count - 1, kvLength: kvLength)
      let keys = keys(within: bounded, of: list)
      for member in stride(from: 0, to: count * group, by: Self.largestTile) {
        schedule.add(
          QueryTile(
            firstQuery: Int32(batch.queries.offsets[request] + first), firstMember: Int32(member),
            rowCount: Int32(min(count * group - member, Self.largestTile)),
            pages: Int32(list.keyZero ?? list.first), kvFirst: Int32(keys.lowerBound),
            kvEnd: Int32(keys.upperBound), hasPositions: list.keyZero == nil,
            kvHead: Int32(kvHead ?? -1)))
      }
    }
  }

  /// The keys of a list from the first to the last that lie in a range of positions, numbered as
  /// the list's tiles number them; they begin on the schedule's granule.
  private func keys(within bounded: Range<Int>, of list: PageList) -> Range<Int> {
    // The pages that begin before the range does, or at its first position; before its end.
    let before = pages(of: list) { $0 < bounded.lowerBound + 1 }
    let end = pages(of: list) { $0 < bounded.upperBound }
    if bounded.isEmpty || end == 0 { return 0..<0 }
    var first = max(before - 1, 0)
    var skipped = max(bounded.lowerBound - position(list, first), 0)
    if skipped >= pageSize { (first, skipped) = (first + 1, 0) }
    let last = end - 1
    if first > last { return 0..<0 }
    let tokens = min(pageSize, bounded.upperBound - position(list, last))
    let numbers = first * pageSize + skipped..<min(last * pageSize + tokens, list.tokens)
    if numbers.isEmpty { return 0..<0 }
    let offset = list.keyZero == nil ? 0 : position(list, 0)
    let granule = schedule.granule
    return (numbers.lowerBound + offset) / granule * granule..<numbers.upperBound + offset
  }

  /// The number of leading pages whose first positions fulfil a condition.
  @inline(__always)
  private func pages(of list: PageList, where holds: (Int) -> Bool) -> Int {
    var (low, high) = (0, list.pages)
    while low < high {
      let middle = (low + high) / 2
      if holds(position(list, middle)) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
