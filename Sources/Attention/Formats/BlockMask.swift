/// A block-sparse mask of one request: which blocks of keys each block of queries reads.
///
/// Blocks may be of one size, as in FlashInfer's `BlockSparseAttentionWrapper`, or of any sizes, as
/// in its `VariableBlockSparseAttentionWrapper`. Rows are the request's queries, columns its keys
/// by absolute position.
public struct BlockMask: Sendable, Hashable {
  /// Queries of each block row; 0 is allowed.
  public let rowSizes: [Int]
  /// Keys of each block column; 0 is allowed.
  public let columnSizes: [Int]
  /// Where each block row's columns begin in `indices`, and the end.
  public let offsets: [Int]
  /// Block columns, in any order within a row.
  public let indices: [Int]

  /// What is wrong with a block mask.
  public enum Invalid: Error, Hashable {
    /// A size is less than it may be.
    case size(String, index: Int, value: Int, least: Int)
    /// There must be one offset more than block rows.
    case offsetCount(expected: Int, found: Int)
    /// The offsets do not start at 0.
    case firstOffset(Int)
    /// The offsets decrease.
    case decreasingOffset(row: Int, from: Int, to: Int)
    /// The last offset is not the number of indices.
    case indexCount(expected: Int, found: Int)
    /// A block row names a column that does not exist.
    case column(row: Int, value: Int, columnCount: Int)
    /// A block row names a column twice.
    case duplicateColumn(row: Int, value: Int)
    /// The map has not one entry for each block row and column.
    case mapCount(expected: Int, found: Int)
    /// The masks of a request's heads have different numbers of queries or keys.
    case shape(request: Int, head: Int, expected: [Int], found: [Int])
    /// A run of blocks begins or ends inside a page.
    case unaligned(request: Int, row: Int, position: Int, pageSize: Int)
    /// The sizes add up to more than 32 bits count.
    case tooLarge(String)
  }

  /// A mask of blocks of one size; the last row and column of blocks may be smaller.
  ///
  /// - Parameters:
  ///   - queries: The queries, M.
  ///   - keys: The keys, N.
  ///   - rowSize: Queries of a block, R, at least 1.
  ///   - columnSize: Keys of a block, C, at least 1.
  ///   - offsets: ⌈M / R⌉ + 1 non-decreasing numbers, the first 0 (`indptr`).
  ///   - indices: Block columns, each less than ⌈N / C⌉, none twice in a row.
  public init(
    queries: Int, keys: Int, rowSize: Int, columnSize: Int, offsets: [Int], indices: [Int]
  ) throws(Invalid) {
    func sizes(_ name: String, _ total: Int, _ size: Int) throws(Invalid) -> [Int] {
      guard size >= 1 else { throw .size("\(name) size", index: 0, value: size, least: 1) }
      guard total >= 0 else { throw .size("\(name) total", index: 0, value: total, least: 0) }
      guard total <= Int(Int32.max) else { throw .tooLarge(name) }
      let full = [Int](repeating: size, count: total / size)
      return total % size == 0 ? full : full + [total % size]
    }
    try self.init(
      rowSizes: sizes("row", queries, rowSize), columnSizes: sizes("column", keys, columnSize),
      offsets: offsets, indices: indices)
  }

  /// A mask of blocks of any sizes.
  ///
  /// - Parameters:
  ///   - rowSizes: Queries of each block row (`block_row_sz`).
  ///   - columnSizes: Keys of each block column (`block_col_sz`).
  ///   - map: Row-major, `rowSizes.count × columnSizes.count`: whether a block is read
  ///     (`block_mask_map`).
  public init(rowSizes: [Int], columnSizes: [Int], map: [Bool]) throws(Invalid) {
    let expected = rowSizes.count * columnSizes.count
    guard map.count == expected else { throw .mapCount(expected: expected, found: map.count) }
    var offsets = [0]
    var indices: [Int] = []
    for row in rowSizes.indices {
      for column in columnSizes.indices where map[row * columnSizes.count + column] {
        indices.append(column)
      }
      offsets.append(indices.count)
    }
    try self.init(rowSizes: rowSizes, columnSizes: columnSizes, offsets: offsets, indices: indices)
  }

  /// A mask of blocks of any sizes in compressed form.
  ///
  /// - Parameters:
  ///   - rowSizes: Queries of each block row, at least 0.
  ///   - columnSizes: Keys of each block column, at least 0.
  ///   - offsets: `rowSizes.count + 1` non-decreasing numbers, the first 0.
  ///   - indices: Block columns, none twice in a row.
  public init(rowSizes: [Int], columnSizes: [Int], offsets: [Int], indices: [Int]) throws(Invalid) {
    for (name, sizes) in [("row", rowSizes), ("column", columnSizes)] {
      var total = 0
      for (i, size) in sizes.enumerated() {
        guard size >= 0 else { throw .size("\(name) size", index: i, value: size, least: 0) }
        guard size <= Int(Int32.max) - total else { throw .tooLarge(name) }
        total += size
      }
    }
    guard offsets.count == rowSizes.count + 1 else {
      throw .offsetCount(expected: rowSizes.count + 1, found: offsets.count)
    }
    guard offsets[0] == 0 else { throw .firstOffset(offsets[0]) }
    for row in rowSizes.indices where offsets[row + 1] < offsets[row] {
      throw .decreasingOffset(row: row, from: offsets[row], to: offsets[row + 1])
    }
    guard offsets[rowSizes.count] == indices.count else {
      throw .indexCount(expected: offsets[rowSizes.count], found: indices.count)
    }
    // The last row that named each column.
    var namedBy = [Int](repeating: -1, count: columnSizes.count)
    for row in rowSizes.indices {
      for column in indices[offsets[row]..<offsets[row + 1]] {
        guard columnSizes.indices.contains(column) else {
          throw .column(row: row, value: column, columnCount: columnSizes.count)
        }
        guard namedBy[column] != row else { throw .duplicateColumn(row: row, value: column) }
        namedBy[column] = row
      }
    }
    self.rowSizes = rowSizes
    self.columnSizes = columnSizes
    self.offsets = offsets
    self.indices = indices
  }

  /// The number of queries, M.
  public var queries: Int { rowSizes.reduce(0, +) }

  /// The number of keys, N.
  public var keys: Int { columnSizes.reduce(0, +) }
}

extension BlockRows {
  /// Block-sparse masks of a batch as block rows over pages.
  ///
  /// Neighbouring blocks that a row reads form runs; a run must begin and end where pages do, or at
  /// the end of the keys. With pages of one token (vector-sparse, B_c = 1) every mask does.
  ///
  /// - Parameters:
  ///   - masks: For each request one mask for all heads, or one for each key/value head; an empty
  ///     list for a request without queries.
  ///   - pageSize: Tokens of a page; the request's pages hold its keys from the first on.
  public init(masks: [[BlockMask]], pageSize: Int) throws(BlockMask.Invalid) {
    guard pageSize >= 1 else {
      throw .size("page size", index: 0, value: pageSize, least: 1)
    }
    var rows: [Row] = []
    var offsets = [0]
    var pages: [Int] = []
    for (r, heads) in masks.enumerated() {
      guard let first = heads.first else { continue }
      let shape = [first.queries, first.keys]
      for (head, mask) in heads.enumerated() {
        guard [mask.queries, mask.keys] == shape else {
          throw .shape(request: r, head: head, expected: shape, found: [mask.queries, mask.keys])
        }
        let starts = mask.columnStarts
        var query = 0
        for (block, size) in mask.rowSizes.enumerated() where size > 0 {
          rows.append(
            Row(
              request: r, queries: query..<query + size, kvHead: heads.count == 1 ? nil : head))
          query += size
          for run in mask.runs(of: block, starts) {
            if let position = run.boundaryInside(pageSize, keys: shape[1]) {
              throw .unaligned(request: r, row: block, position: position, pageSize: pageSize)
            }
            pages += run.lowerBound / pageSize..<(run.upperBound + pageSize - 1) / pageSize
          }
          offsets.append(pages.count)
        }
      }
    }
    do {
      try self.init(rows: rows, offsets: offsets, pages: pages)
    } catch {
      // Runs are ascending, disjoint and made of whole pages: only their number can be wrong.
      throw .tooLarge("page numbers")
    }
  }
}

extension BlockMask {
  /// The first key of each block column.
  var columnStarts: [Int] {
    var next = 0
    return columnSizes.map { size in
      defer { next += size }
      return next
    }
  }

  /// The keys that a block row reads, neighbouring blocks joined, ascending.
  func runs(of row: Int, _ starts: [Int]) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    let columns = indices[offsets[row]..<offsets[row + 1]]
    for column in columns.sorted() where columnSizes[column] > 0 {
      let block = starts[column]..<starts[column] + columnSizes[column]
      if let last = runs.last, last.upperBound == block.lowerBound {
        runs[runs.count - 1] = last.lowerBound..<block.upperBound
      } else {
        runs.append(block)
      }
    }
    return runs
  }
}

extension Range<Int> {
  /// A bound that lies inside a page, if any; the end of all keys counts as a page's end.
  fileprivate func boundaryInside(_ pageSize: Int, keys: Int) -> Int? {
    if lowerBound % pageSize != 0 { return lowerBound }
    return upperBound % pageSize != 0 && upperBound != keys ? upperBound : nil
  }
}

extension BlockMask.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .size(let name, let index, let value, let least):
      "block mask: \(name) \(index) is \(value), expected at least \(least)"
    case .offsetCount(let expected, let found):
      "block mask: \(expected) offsets expected, one more than block rows, found \(found)"
    case .firstOffset(let value): "block mask: the first offset must be 0, found \(value)"
    case .decreasingOffset(let row, let from, let to):
      "block mask: offsets decrease from \(from) to \(to) at block row \(row)"
    case .indexCount(let expected, let found):
      "block mask: \(expected) block columns expected, found \(found)"
    case .column(let row, let value, let count):
      "block mask: block row \(row) names column \(value), outside 0 ..< \(count)"
    case .duplicateColumn(let row, let value):
      "block mask: block row \(row) names column \(value) twice"
    case .mapCount(let expected, let found):
      "block mask: a map of \(expected) blocks expected, found \(found)"
    case .shape(let request, let head, let expected, let found):
      "block mask: request \(request), head \(head): expected \(expected[0]) queries and "
        + "\(expected[1]) keys, found \(found[0]) and \(found[1])"
    case .unaligned(let request, let row, let position, let pageSize):
      "block mask: request \(request), block row \(row): a run of blocks begins or ends at "
        + "position \(position), inside a page of \(pageSize) tokens; use smaller pages"
    case .tooLarge(let what): "block mask: too many \(what)"
    }
  }
}
