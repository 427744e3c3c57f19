import Attention
import Devices
import Tensors
import Testing

/// Constructors against masks that are computed another way: dense, place by place.
@Suite struct FormatTests {
  /// What block rows say, as a dense mask of one request: `queries × keys`.
  static func dense(
    _ rows: BlockRows, request: Int, head: Int?, queries: Int, keys: Int, pageSize: Int
  ) -> [Bool] {
    var mask = [Bool](repeating: false, count: queries * keys)
    for (i, row) in rows.rows.enumerated() where row.request == request && row.kvHead == head {
      for query in row.queries {
        for page in rows.pages(of: i) {
          for key in Int(page) * pageSize..<min((Int(page) + 1) * pageSize, keys) {
            mask[query * keys + key] = true
          }
        }
      }
    }
    return mask
  }

  @Test(arguments: [1, 3, 16])
  func fixedBlockMasks(pageSize: Int) throws {
    var random = Random(7)
    for (m, n, r, blocks) in [(1, 1, 1, 1), (37, 101, 5, 2), (64, 96, 16, 1), (33, 48, 64, 3)] {
      let c = pageSize * blocks
      let (blockRows, blockColumns) = ((m + r - 1) / r, (n + c - 1) / c)
      var offsets = [0]
      var indices: [Int] = []
      for _ in 0..<blockRows {
        indices += (0..<blockColumns).filter { _ in Bool.random(using: &random) }
          .shuffled(using: &random)
        offsets.append(indices.count)
      }
      let mask = try BlockMask(
        queries: m, keys: n, rowSize: r, columnSize: c, offsets: offsets, indices: indices)
      #expect(mask.queries == m && mask.keys == n)
      let rows = try BlockRows(masks: [[mask]], pageSize: pageSize)
      let expected = (0..<m * n).map { place in
        let row = place / n / r
        return indices[offsets[row]..<offsets[row + 1]].contains(place % n / c)
      }
      #expect(
        Self.dense(rows, request: 0, head: nil, queries: m, keys: n, pageSize: pageSize)
          == expected)
      _ = try AttentionBatch(
        queries: RaggedIndex(lengths: [m]),
        pages: PageTable(raggedLengths: [n], pageSize: pageSize), rows: rows)
    }
  }

  @Test func variableBlockMasksOfEveryHead() throws {
    var random = Random(8)
    for pageSize in [1, 3] {
      let heads = 3
      var masks: [BlockMask] = []
      var expected: [[Bool]] = []
      let (m, n) = (29, 60)
      for _ in 0..<heads {
        let rowSizes = Self.partition(m, unit: 1, &random)
        let columnSizes = Self.partition(n, unit: pageSize, &random)
        let map = (0..<rowSizes.count * columnSizes.count).map { _ in
          Bool.random(using: &random)
        }
        masks.append(try BlockMask(rowSizes: rowSizes, columnSizes: columnSizes, map: map))
        // The block of each place, written out.
        let rowOf = rowSizes.enumerated().flatMap { [Int](repeating: $0, count: $1) }
        let columnOf = columnSizes.enumerated().flatMap { [Int](repeating: $0, count: $1) }
        expected.append(
          rowOf.flatMap { row in columnOf.map { map[row * columnSizes.count + $0] } })
      }
      let rows = try BlockRows(masks: [masks, [], masks], pageSize: pageSize)
      for request in [0, 2] {
        for head in 0..<heads {
          #expect(
            Self.dense(
              rows, request: request, head: head, queries: m, keys: n, pageSize: pageSize)
              == expected[head])
        }
      }
      _ = try AttentionBatch(
        queries: RaggedIndex(lengths: [m, 0, m]),
        pages: PageTable(raggedLengths: [n, 5, n], pageSize: pageSize), rows: rows)
    }
  }

  /// Sizes that add up to `total`, zeros among them.
  static func partition(_ total: Int, unit: Int, _ random: inout Random) -> [Int] {
    var sizes: [Int] = []
    var rest = total
    while rest > 0 {
      let size = min(Int.random(in: 0...4, using: &random) * unit, rest)
      sizes.append(size)
      rest -= size
    }
    return sizes + [0]
  }

  @Test func neighbouringBlocksNeedNoAlignmentBetweenThem() throws {
    // Columns 3 + 5 fill a page of 8; alone neither does.
    let sizes = [3, 5, 8, 2]
    func rows(_ map: [Bool]) throws -> BlockRows {
      try BlockRows(
        masks: [[BlockMask(rowSizes: [4], columnSizes: sizes, map: map)]], pageSize: 8)
    }
    #expect(try rows([true, true, false, true]).pages == [0, 2])
    #expect(
      throws: BlockMask.Invalid.unaligned(request: 0, row: 0, position: 3, pageSize: 8)
    ) { try rows([true, false, false, false]) }
    #expect(
      throws: BlockMask.Invalid.unaligned(request: 0, row: 0, position: 3, pageSize: 8)
    ) { try rows([false, true, true, true]) }
  }

  @Test func importanceMasks() throws {
    let queries = try RaggedIndex(lengths: [1, 0, 2])
    let pages = try PageTable(raggedLengths: [50, 7, 33], pageSize: 16)
    let rows = try BlockRows(selecting: [[3, 0], [0], []], queries: queries)
    #expect(rows.rows.map(\.request) == [0, 2])
    #expect(rows.pages == [0, 3])
    let batch = try AttentionBatch(queries: queries, pages: pages, rows: rows)
    #expect(batch.rows == rows)
    let perHead = try BlockRows(
      selectingPerHead: [[[3, 0], [1]], [], [[], [2, 1]]], queries: queries)
    #expect(perHead.rows.map(\.kvHead) == [0, 1, 0, 1])
    #expect(perHead.rows.map(\.queries) == [0..<1, 0..<1, 0..<2, 0..<2])
    #expect(perHead.offsets == [0, 2, 3, 3, 5])
    #expect(perHead.pages == [0, 3, 1, 1, 2])
    _ = try AttentionBatch(queries: queries, pages: pages, rows: perHead)
  }

  @Test func packedMasksAreLittleEndianAndByteAligned() throws {
    // Worked by hand: 3 × 3 → 9 bits in two bytes, then a request of its own byte.
    let shapes = [
      PackedMask.Shape(queries: 3, keys: 3), PackedMask.Shape(queries: 0, keys: 4),
      PackedMask.Shape(queries: 1, keys: 2),
    ]
    let masks = [[true, false, false, true, true, false, true, true, true], [], [false, true]]
    let packed = try PackedMask(masks, shapes: shapes)
    #expect(packed.bytes == [0b1101_1001, 0b1, 0b10])
    #expect(packed.offsets == [0, 2, 2, 3])
    #expect(try PackedMask(bytes: packed.bytes, shapes: shapes) == packed)

    var random = Random(3)
    let large = [PackedMask.Shape(queries: 13, keys: 77), PackedMask.Shape(queries: 5, keys: 9)]
    let bits = large.map { s in
      (0..<s.queries * s.keys).map { _ in Bool.random(using: &random) }
    }
    let mask = try PackedMask(bits, shapes: large)
    for (r, shape) in large.enumerated() {
      for query in 0..<shape.queries {
        for key in 0..<shape.keys {
          #expect(
            mask.isSet(request: r, query: query, key: key) == bits[r][query * shape.keys + key])
        }
      }
    }
  }

  @Test(arguments: [1, 3, 8, 16])
  func blockRowsThatCoverAMask(pageSize: Int) throws {
    var random = Random(6)
    let shapes = [(17, 61), (1, 40), (0, 9), (5, 0), (33, 97)].map {
      PackedMask.Shape(queries: $0.0, keys: $0.1)
    }
    let bits = shapes.map { shape in
      (0..<shape.queries * shape.keys).map { _ in
        Int.random(in: 0..<40, using: &random) == 0
      }
    }
    let mask = try PackedMask(bits, shapes: shapes)
    for rowSize in [1, 4, 64] {
      let rows = try BlockRows(covering: mask, rowSize: rowSize, pageSize: pageSize)
      _ = try AttentionBatch(
        queries: RaggedIndex(lengths: shapes.map(\.queries)),
        pages: PageTable(raggedLengths: shapes.map(\.keys), pageSize: pageSize), rows: rows)
      for (i, row) in rows.rows.enumerated() {
        let keys = shapes[row.request].keys
        var expected = Set<Int32>()
        for query in row.queries {
          for key in 0..<keys where bits[row.request][query * keys + key] {
            expected.insert(Int32(key / pageSize))
          }
        }
        #expect(rows.pages(of: i).elementsEqual(expected.sorted()))
      }
    }
  }

  @Test func masksInsideBlocks() throws {
    var random = Random(4)
    let (m, n, r, c) = (7, 11, 3, 4)
    let offsets = [0, 2, 2, 4]
    let indices = [2, 0, 1, 2]
    let mask = try BlockMask(
      queries: m, keys: n, rowSize: r, columnSize: c, offsets: offsets, indices: indices)
    let values = (0..<indices.count * r * c).map { _ in Bool.random(using: &random) }
    let packed = try PackedMask(mask, inside: values)
    for query in 0..<m {
      for key in 0..<n {
        let block = (offsets[query / r]..<offsets[query / r + 1]).first { indices[$0] == key / c }
        let expected = block.map { values[$0 * r * c + query % r * c + key % c] } ?? false
        #expect(packed.isSet(request: 0, query: query, key: key) == expected)
      }
    }
  }

  @Test func radixTreesMakePageTables() throws {
    typealias Node = RadixTree.Node
    let tree = try RadixTree(
      nodes: [
        Node(parent: nil, tokens: [1, 2, 3, 4], pages: [7, 3]),
        Node(parent: 0, tokens: [5, 6], pages: [1]),
        Node(parent: 0, tokens: [5, 7, 8], pages: [9, 2]),
        Node(parent: nil, tokens: [1], pages: [4]),
        Node(parent: 1, tokens: [9], pages: [5]),
      ], pageSize: 2)
    let table = try tree.pageTable(leaves: [4, 2, 0, 3])
    #expect(table.kvLengths == [7, 7, 4, 1])
    #expect(table.indices == [7, 3, 1, 5, 7, 3, 9, 2, 7, 3, 4])
    #expect(table.offsets == [0, 4, 8, 10, 11])
    #expect(try tree.path(to: 4) == [0, 1, 4])
    #expect(try tree.length(of: 2) == 7)
    func prefix(_ tokens: [Int32]) -> [Int] {
      let (node, count) = tree.longestPrefix(of: tokens)
      return [node ?? -1, count]
    }
    #expect(prefix([1, 2, 3, 4, 5, 6, 9, 9]) == [4, 7])
    #expect(prefix([1, 2, 3, 4, 5, 7, 9]) == [0, 6])
    #expect(prefix([1, 2, 3]) == [-1, 2])
    #expect(prefix([1, 9]) == [3, 1])
    #expect(prefix([2]) == [-1, 0])
    #expect(prefix([]) == [-1, 0])
  }

  @Test func speculationTrees() throws {
    var random = Random(5)
    for prefix in [0, 1, 19] {
      let count = 13
      let parents = (0..<count).map { Int.random(in: -1..<$0, using: &random) }
      let tree = try SpeculationTree(parents: parents)
      let pages = try PageTable(raggedLengths: [prefix + count, 3, prefix], pageSize: 4)
      let step = try SpeculationBatch(
        trees: [tree, SpeculationTree(parents: [-1]), SpeculationTree(parents: [])],
        pages: pages)
      #expect(step.batch.queries.offsets == [0, count, count + 1, count + 1])
      for i in 0..<count {
        // Ancestors by walking up.
        var path: Set = [i]
        var next = parents[i]
        while next >= 0 {
          path.insert(next)
          next = parents[next]
        }
        #expect(step.positions[i] == prefix + path.count - 1)
        #expect(Set(tree.path(to: i)) == path && tree.path(to: i).sorted() == tree.path(to: i))
        for key in 0..<prefix + count {
          #expect(
            step.mask.isSet(request: 0, query: i, key: key)
              == (key < prefix || path.contains(key - prefix)))
        }
        for j in 0..<count {
          #expect(step.ancestors.isSet(request: 0, query: i, key: j) == path.contains(j))
        }
      }
      #expect(step.positions[count] == 2)
    }
  }

  @Test func appendIndicesAndSlots() throws {
    let appended = try RaggedIndex(lengths: [2, 0, 3])
    let indices = try AppendIndices(appended: appended, kvLengths: [5, 4, 3])
    #expect(indices.batchIndices == [0, 0, 2, 2, 2])
    #expect(indices.positions == [3, 4, 0, 1, 2])
    let table = try PageTable(
      requests: [(pages: [6, 2], kvLength: 5), ([0], 4), ([9], 3)], pageSize: 4)
    #expect(try table.slots(of: indices) == [27, 8, 36, 37, 38])
    #expect(table.lastPageLengths == [1, 4, 3])
    #expect(
      try PageTable.lastPageLengths(kvLengths: [0, 1, 4, 5], pageSize: 4) == [0, 1, 4, 1])
  }

  @Test func pageTablesWithPositions() throws {
    let table = try PageTable(
      offsets: [0, 3, 3, 4], indices: [5, 6, 7, 1], positions: [0, 10, 17, 2],
      kvLengths: [19, 40, 90], pageSize: 4)
    #expect(table.slot(of: 2, in: 0) == 22)
    #expect(table.slot(of: 4, in: 0) == nil)
    #expect(table.slot(of: 13, in: 0) == 27)
    #expect(table.slot(of: 14, in: 0) == nil)
    #expect(table.slot(of: 18, in: 0) == 29)
    #expect(table.slot(of: 19, in: 0) == nil)
    #expect(table.slot(of: 0, in: 1) == nil)
    #expect(table.slot(of: 1, in: 2) == nil)
    #expect(table.slot(of: 5, in: 2) == 7)
    #expect(table.lastPageLengths == [2, 0, 4])
    // Positions that say nothing new leave an ordinary table.
    let plain = try PageTable(
      offsets: [0, 2, 2], indices: [5, 6], positions: [0, 4], kvLengths: [7, 0], pageSize: 4)
    #expect(
      try plain == PageTable(requests: [(pages: [5, 6], kvLength: 7), ([], 0)], pageSize: 4))
  }
}
