internal import Tensors

/// A block row as a plan keeps it: queries, and the list of pages they read.
struct BlockRow: BitwiseCopyable {
  var request: Int32
  /// The row of its first query in the query matrix.
  var firstQuery: Int32
  /// The absolute position of its first query.
  var position: Int32
  /// The number of queries.
  var queries: Int32
  /// The key/value head; −1 stands for all.
  var kvHead: Int32
  /// Where its pages begin in the plan's page indices and positions.
  var firstPage: Int32
  /// The number of pages.
  var pages: Int32
  /// The keys that the pages hold.
  var keys: Int32
  /// The position of its first key where its pages have no gaps, so that keys are numbered by
  /// position; −1 where they are numbered through the list.
  var start: Int32
}

// Batches in which not all queries read all pages, or pages stand at positions of their own.
extension AttentionPlan {
  /// Copies block rows with the pages that they name, and the positions of these.
  func takeBlockRows(of batch: AttentionBatch) throws(Failure) {
    blockRows.removeAll()
    pagePositions.removeAll()
    guard let rows = batch.rows else {
      takePages(of: batch.pages)
      pagePositions.assign(batch.pages.positions)
      for request in 0..<batch.requestCount where !batch.queries[request].isEmpty {
        add(
          BlockRows.Row(request: request, queries: 0..<batch.queries[request].count), batch,
          pages: Int(batch.pages.offsets[request])..<Int(batch.pages.offsets[request + 1]))
      }
      return
    }
    pageIndices.removeAll()
    largestPage = -1
    for (i, row) in rows.rows.enumerated() {
      // The batch has seen to it that heads come in order.
      let heads = row.kvHead.map { $0 + 1 } ?? shape.kvHeads
      let isLast = i + 1 == rows.count || rows.rows[i + 1].request != row.request
      if heads > shape.kvHeads || isLast && heads != shape.kvHeads {
        throw .blockRowHeads(request: row.request, expected: shape.kvHeads, found: heads)
      }
      let first = Int(batch.pages.offsets[row.request])
      let listed = pageIndices.count
      for page in rows.pages(of: i) {
        let index = batch.pages.indices[first + Int(page)]
        largestPage = max(largestPage, index)
        pageIndices.append(index)
        pagePositions.append(Int32(batch.pages.position(of: Int(page), in: row.request)))
      }
      add(row, batch, pages: listed..<pageIndices.count)
    }
  }

  private func add(_ row: BlockRows.Row, _ batch: AttentionBatch, pages: Range<Int>) {
    let kvLength = Int(kvLengths.base[row.request])
    let queries = batch.queries[row.request]
    var block = BlockRow(
      request: Int32(row.request), firstQuery: Int32(queries.lowerBound + row.queries.lowerBound),
      position: Int32(kvLength - queries.count + row.queries.lowerBound),
      queries: Int32(row.queries.count), kvHead: Int32(row.kvHead ?? -1),
      firstPage: Int32(pages.lowerBound), pages: Int32(pages.count), keys: 0, start: 0)
    if let last = pages.last {
      let (start, end) = (Int(pagePositions.base[pages.lowerBound]), Int(pagePositions.base[last]))
      let full = (pages.count - 1) * pageSize
      block.keys = Int32(full + min(pageSize, kvLength - end))
      // Pages without gaps, wherever they begin, are an ordinary list that is entered later.
      let isPlain = end - start == full && start % pageSize == 0
      let isAligned = start == 0 || pageSize % schedule.granule == 0
      block.start = isPlain && isAligned ? Int32(start) : -1
    }
    blockRows.append(block)
  }

  /// Cuts a block row's queries into tiles and leaves out the pages that the bounds exclude.
  func addTiles(of row: BlockRow, queries: Int) {
    let group = shape.groupSize
    let kvLength = Int(kvLengths.base[Int(row.request)])
    let queryLength = Int(queryLengths.base[Int(row.request)])
    let skipped = row.start > 0 ? Int(row.start) / pageSize : 0
    var tile = QueryTile(
      rowCount: 0, pages: row.firstPage - Int32(skipped), kvFirst: 0, kvEnd: 0,
      hasPositions: row.start < 0, kvHead: row.kvHead)
    for first in stride(from: 0, to: Int(row.queries), by: queries) {
      let count = min(queries, Int(row.queries) - first)
      let start = Int(row.position) + first
      let bounded = code.bounds.segments(
        queries: start...start + count - 1, kvLength: kvLength, queryLength: queryLength,
        granule: 1, gap: 0)
      let ranges = keys(of: row, within: bounded)
      tile.firstQuery = row.firstQuery + Int32(first)
      tile.isSole = ranges.count == 1
      for keys in ranges {
        (tile.kvFirst, tile.kvEnd) = (Int32(keys.lowerBound), Int32(keys.upperBound))
        for member in stride(from: 0, to: count * group, by: Self.largestTile) {
          tile.firstMember = Int32(member)
          tile.rowCount = Int32(min(count * group - member, Self.largestTile))
          schedule.add(tile)
        }
      }
    }
  }

  /// The keys of a row that lie in ascending ranges of positions, numbered as its tiles number
  /// them, in ranges that begin on the schedule's granule; at least one range, maybe empty.
  ///
  /// Ranges that are less than a tile of keys apart are one.
  private func keys(of row: BlockRow, within bounded: [Range<Int>]) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    let offset = max(Int(row.start), 0)
    for range in bounded where !range.isEmpty {
      let numbers = number(of: range.lowerBound, in: row)..<number(of: range.upperBound, in: row)
      if numbers.isEmpty { continue }
      let first = (numbers.lowerBound + offset) / schedule.granule * schedule.granule
      let end = numbers.upperBound + offset
      if let last = ranges.last, first < last.upperBound + AttentionWorkspace.tileKeys {
        ranges[ranges.count - 1] = last.lowerBound..<end
      } else {
        ranges.append(first..<end)
      }
    }
    return ranges.isEmpty ? [0..<0] : ranges
  }

  /// How many keys of a row stand before a position.
  private func number(of position: Int, in row: BlockRow) -> Int {
    let positions = pagePositions.base + Int(row.firstPage)
    // The pages that begin before it; all but the last of them are whole.
    var (low, high) = (0, Int(row.pages))
    while low < high {
      let middle = (low + high) / 2
      if Int(positions[middle]) < position { low = middle + 1 } else { high = middle }
    }
    if low == 0 { return 0 }
    let inLast = min(position - Int(positions[low - 1]), pageSize)
    return min((low - 1) * pageSize + inLast, Int(row.keys))
  }
}
