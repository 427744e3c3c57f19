import Attention
import Devices
import Tensors
import Testing

/// Typed errors for every way to get a format wrong.
@Suite struct FormatErrorTests {
  @Test func pageTablePositions() throws {
    typealias Invalid = PageTable.Invalid
    func table(_ positions: [Int], lengths: [Int] = [20]) throws(Invalid) {
      _ = try PageTable(
        offsets: [0, 2], indices: [0, 1], positions: positions, kvLengths: lengths, pageSize: 4)
    }
    #expect(throws: Invalid.positionCount(expected: 2, found: 1)) { try table([0]) }
    #expect(throws: Invalid.lengthCount(expected: 1, found: 2)) {
      try table([0, 4], lengths: [9, 9])
    }
    #expect(throws: Invalid.position(request: 0, page: 1, value: 3, expected: 4...19)) {
      try table([0, 3])
    }
    #expect(throws: Invalid.position(request: 0, page: 0, value: -1, expected: 0...19)) {
      try table([-1, 3])
    }
    #expect(throws: Invalid.position(request: 0, page: 1, value: 20, expected: 4...19)) {
      try table([0, 20])
    }
    #expect(throws: Invalid.negativeLength(request: 0, value: -1)) {
      try table([0, 4], lengths: [-1])
    }
    #expect(throws: Invalid.pageSize(0)) {
      try PageTable.lastPageLengths(kvLengths: [1], pageSize: 0)
    }
    #expect(throws: Invalid.negativeLength(request: 1, value: -2)) {
      try PageTable.lastPageLengths(kvLengths: [1, -2], pageSize: 2)
    }
  }

  @Test func blockRows() throws {
    typealias Invalid = BlockRows.Invalid
    typealias Row = BlockRows.Row
    let row = Row(request: 0, queries: 0..<2)
    func rows(_ rows: [Row], _ offsets: [Int], _ pages: [Int]) throws(Invalid) {
      _ = try BlockRows(rows: rows, offsets: offsets, pages: pages)
    }
    #expect(throws: Invalid.offsetCount(expected: 2, found: 1)) { try rows([row], [0], []) }
    #expect(throws: Invalid.firstOffset(1)) { try rows([row], [1, 1], []) }
    #expect(throws: Invalid.decreasingOffset(row: 1, from: 2, to: 1)) {
      try rows([row, row], [0, 2, 1], [0, 1])
    }
    #expect(throws: Invalid.pageCount(expected: 1, found: 2)) { try rows([row], [0, 1], [0, 1]) }
    #expect(throws: Invalid.queries(row: 0, 1..<1)) {
      try rows([Row(request: 0, queries: 1..<1)], [0, 0], [])
    }
    #expect(throws: Invalid.queries(row: 0, -1..<1)) {
      try rows([Row(request: 0, queries: -1..<1)], [0, 0], [])
    }
    #expect(throws: Invalid.kvHead(row: 0, -2)) {
      try rows([Row(request: 0, queries: 0..<1, kvHead: -2)], [0, 0], [])
    }
    #expect(throws: Invalid.page(row: 0, page: -7)) { try rows([row], [0, 2], [1, -7]) }
    #expect(throws: Invalid.page(row: 0, page: 1 << 40)) { try rows([row], [0, 1], [1 << 40]) }
    #expect(throws: Invalid.duplicatePage(row: 0, page: 4)) {
      try rows([row], [0, 3], [4, 1, 4])
    }
    let mask = try PackedMask([], shapes: [])
    #expect(throws: Invalid.size("row size", 0)) {
      try BlockRows(covering: mask, rowSize: 0, pageSize: 1)
    }
    #expect(throws: Invalid.size("page size", -1)) {
      try BlockRows(covering: mask, rowSize: 1, pageSize: -1)
    }
    #expect(throws: Invalid.selectionCount(expected: 1, found: 2)) {
      try BlockRows(selecting: [[], []], queries: RaggedIndex(lengths: [1]))
    }
  }

  @Test func batches() throws {
    typealias Invalid = AttentionBatch.Invalid
    typealias Row = BlockRows.Row
    let queries = try RaggedIndex(lengths: [4, 0, 2])
    let pages = try PageTable(raggedLengths: [9, 4, 4], pageSize: 4)
    func batch(_ rows: [Row], pages lists: [[Int]]? = nil) throws {
      let lists = lists ?? rows.map { _ in [] }
      var offsets = [0]
      for list in lists { offsets.append(offsets[offsets.count - 1] + list.count) }
      _ = try AttentionBatch(
        queries: queries, pages: pages,
        rows: BlockRows(rows: rows, offsets: offsets, pages: lists.flatMap { $0 }))
    }
    let (a, b, c) = (
      Row(request: 0, queries: 0..<3), Row(request: 0, queries: 3..<4),
      Row(request: 2, queries: 0..<2)
    )
    try batch([a, b, c], pages: [[2, 0], [], [0]])
    #expect(throws: Invalid.uncovered(request: 0, queries: 3..<4)) { try batch([a, c]) }
    #expect(throws: Invalid.uncovered(request: 0, queries: 0..<4)) { try batch([c]) }
    #expect(throws: Invalid.uncovered(request: 2, queries: 0..<2)) { try batch([a, b]) }
    #expect(throws: Invalid.uncovered(request: 0, queries: 0..<4)) { try batch([]) }
    #expect(throws: Invalid.blockRowRequest(row: 2, request: 3, expected: 0..<3)) {
      try batch([a, b, Row(request: 3, queries: 0..<1)])
    }
    #expect(throws: Invalid.blockRowRequest(row: 3, request: 0, expected: 2..<3)) {
      try batch([a, b, c, a])
    }
    #expect(throws: Invalid.blockRowQueries(row: 1, request: 0, expected: 3..<4, found: 0..<3)) {
      try batch([a, a])
    }
    #expect(throws: Invalid.blockRowQueries(row: 0, request: 0, expected: 0..<4, found: 0..<5)) {
      try batch([Row(request: 0, queries: 0..<5)])
    }
    #expect(throws: Invalid.blockRowPage(row: 2, page: 1, pageCount: 1)) {
      try batch([a, b, c], pages: [[2], [], [1, 0]])
    }
    let heads = (0..<3).map { Row(request: 0, queries: 0..<4, kvHead: $0) }
    try batch([heads[0], heads[1], heads[2], c])
    #expect(throws: Invalid.blockRowHead(row: 0, request: 0, expected: 0, found: 1)) {
      try batch([heads[1], heads[0], c])
    }
    #expect(throws: Invalid.blockRowHead(row: 1, request: 0, expected: 1, found: 2)) {
      try batch([heads[0], heads[2], c])
    }
    #expect(throws: Invalid.blockRowHead(row: 1, request: 0, expected: nil, found: 0)) {
      try batch([a, Row(request: 0, queries: 3..<4, kvHead: 0), c])
    }
    #expect(throws: Invalid.queries(.firstOffset(2))) {
      try AttentionBatch(offsets: [2, 3], pages: PageTable(raggedLengths: [4], pageSize: 4))
    }
  }

  @Test func blockMasks() throws {
    typealias Invalid = BlockMask.Invalid
    func fixed(_ offsets: [Int], _ indices: [Int], rowSize: Int = 2) throws(Invalid) {
      _ = try BlockMask(
        queries: 3, keys: 8, rowSize: rowSize, columnSize: 4, offsets: offsets, indices: indices)
    }
    #expect(throws: Invalid.size("row size", index: 0, value: 0, least: 1)) {
      try fixed([0], [], rowSize: 0)
    }
    #expect(throws: Invalid.offsetCount(expected: 3, found: 2)) { try fixed([0, 0], []) }
    #expect(throws: Invalid.firstOffset(-1)) { try fixed([-1, 0, 0], []) }
    #expect(throws: Invalid.decreasingOffset(row: 1, from: 1, to: 0)) { try fixed([0, 1, 0], [0]) }
    #expect(throws: Invalid.indexCount(expected: 1, found: 0)) { try fixed([0, 1, 1], []) }
    #expect(throws: Invalid.column(row: 1, value: 2, columnCount: 2)) {
      try fixed([0, 0, 1], [2])
    }
    #expect(throws: Invalid.column(row: 0, value: -1, columnCount: 2)) {
      try fixed([0, 1, 1], [-1])
    }
    #expect(throws: Invalid.duplicateColumn(row: 1, value: 1)) { try fixed([0, 1, 3], [1, 1, 1]) }
    #expect(throws: Invalid.mapCount(expected: 6, found: 5)) {
      try BlockMask(
        rowSizes: [1, 2], columnSizes: [1, 1, 1], map: [Bool](repeating: true, count: 5))
    }
    #expect(throws: Invalid.size("column size", index: 1, value: -1, least: 0)) {
      try BlockMask(rowSizes: [1], columnSizes: [1, -1], map: [true, true])
    }
    #expect(throws: Invalid.tooLarge("row")) {
      try BlockMask(rowSizes: [.max, .max], columnSizes: [1], map: [true, true])
    }
    let one = try BlockMask(rowSizes: [1], columnSizes: [4], map: [true])
    let two = try BlockMask(rowSizes: [1], columnSizes: [5], map: [true])
    #expect(throws: Invalid.shape(request: 0, head: 1, expected: [1, 4], found: [1, 5])) {
      try BlockRows(masks: [[one, two]], pageSize: 1)
    }
    #expect(throws: Invalid.size("page size", index: 0, value: 0, least: 1)) {
      try BlockRows(masks: [], pageSize: 0)
    }
  }

  @Test func masksAndTrees() throws {
    let shape = PackedMask.Shape(queries: 2, keys: 5)
    #expect(throws: PackedMask.Invalid.byteCount(expected: 2, found: 1)) {
      try PackedMask(bytes: [1], shapes: [shape])
    }
    #expect(throws: PackedMask.Invalid.entryCount(request: 0, expected: 10, found: 1)) {
      try PackedMask([[true]], shapes: [shape])
    }
    #expect(throws: PackedMask.Invalid.maskCount(expected: 1, found: 0)) {
      try PackedMask([], shapes: [shape])
    }
    let negative = PackedMask.Shape(queries: -1, keys: -5)
    #expect(throws: PackedMask.Invalid.shape(request: 0, negative)) {
      try PackedMask(shapes: [negative]) { _, _, _ in true }
    }

    typealias Node = RadixTree.Node
    func tree(_ nodes: [Node], pageSize: Int = 2) throws(RadixTree.Invalid) {
      _ = try RadixTree(nodes: nodes, pageSize: pageSize)
    }
    let root = Node(parent: nil, tokens: [1, 2], pages: [0])
    #expect(throws: RadixTree.Invalid.pageSize(0)) { try tree([], pageSize: 0) }
    #expect(throws: RadixTree.Invalid.parent(node: 1, 1)) {
      try tree([root, Node(parent: 1, tokens: [1], pages: [1])])
    }
    #expect(throws: RadixTree.Invalid.empty(node: 0)) {
      try tree([Node(parent: nil, tokens: [], pages: [])])
    }
    #expect(throws: RadixTree.Invalid.pageCount(node: 0, expected: 2, found: 1)) {
      try tree([Node(parent: nil, tokens: [1, 2, 3], pages: [0])])
    }
    #expect(throws: RadixTree.Invalid.unaligned(node: 0, tokens: 1, pageSize: 2)) {
      try tree([
        Node(parent: nil, tokens: [1], pages: [0]), Node(parent: 0, tokens: [1], pages: [1]),
      ])
    }
    #expect(throws: RadixTree.Invalid.negativePage(node: 0, page: -1)) {
      try tree([Node(parent: nil, tokens: [1], pages: [-1])])
    }
    #expect(throws: RadixTree.Invalid.sharedPage(0, nodes: [0, 1])) {
      try tree([root, Node(parent: 0, tokens: [1], pages: [0])])
    }
    #expect(throws: RadixTree.Invalid.siblings(0, 1)) {
      try tree([root, Node(parent: nil, tokens: [1, 2, 3], pages: [1, 2])])
    }
    #expect(throws: RadixTree.Invalid.node(1, count: 1)) {
      try RadixTree(nodes: [root], pageSize: 2).pageTable(leaves: [1])
    }

    #expect(throws: SpeculationTree.Invalid.parent(token: 1, 1)) {
      try SpeculationTree(parents: [-1, 1])
    }
    let draft = try SpeculationTree(parents: [-1, 0])
    let pages = try PageTable(raggedLengths: [1], pageSize: 2)
    #expect(throws: SpeculationTree.Invalid.kvLength(request: 0, kvLength: 1, draftTokens: 2)) {
      try SpeculationBatch(trees: [draft], pages: pages)
    }
    #expect(throws: SpeculationTree.Invalid.treeCount(expected: 1, found: 0)) {
      try SpeculationBatch(trees: [], pages: pages)
    }
  }

  @Test func appendIndices() throws {
    typealias Invalid = AppendIndices.Invalid
    #expect(throws: Invalid.lengthCount(expected: 1, found: 2)) {
      try AppendIndices(appended: RaggedIndex(lengths: [1]), kvLengths: [1, 2])
    }
    #expect(throws: Invalid.length(request: 0, appended: 2, kvLength: 1)) {
      try AppendIndices(appended: RaggedIndex(lengths: [2]), kvLengths: [1])
    }
    #expect(throws: Invalid.positionCount(expected: 2, found: 1)) {
      try AppendIndices(batchIndices: [0, 0], positions: [0])
    }
    let table = try PageTable(raggedLengths: [5], pageSize: 4)
    #expect(throws: Invalid.batchIndex(row: 1, value: 1, requestCount: 1)) {
      try table.slots(of: AppendIndices(batchIndices: [0, 1], positions: [0, 0]))
    }
    try append()
    for position in [-1, 5] {
      #expect(throws: Invalid.position(row: 0, request: 0, value: position, kvLength: 5)) {
        try table.slots(of: AppendIndices(batchIndices: [0], positions: [position]))
      }
    }
  }
  /// Positions that no page holds are refused; others end in their page's slot.
  private func append() throws {
    let device = try CPUDevice(threads: 1)
    let table = try PageTable(
      offsets: [0, 2], indices: [1, 0], positions: [3, 9], kvLengths: [11], pageSize: 4)
    let cache = try PagedKVCache(
      pageCount: 2, pageSize: 4, kvHeads: 1, headDimension: 2, elementType: .float32)
    var row: [Float] = [1, 2, 3, 4, 5, 6]
    try row.withUnsafeMutableBufferPointer { row in
      let base = try #require(row.baseAddress)
      let view = MatrixView(base, rows: 3, columns: 2)
      let one = MatrixView(base, rows: 1, columns: 2)
      try cache.append(
        keys: view, values: view,
        at: AppendIndices(batchIndices: [0, 0, 0], positions: [10, 3, 9]), pages: table,
        on: device)
      #expect(try cache.row(slot: 1, head: 0, on: device).key == [1, 2])
      #expect(try cache.row(slot: 4, head: 0, on: device).value == [3, 4])
      #expect(try cache.row(slot: 0, head: 0, on: device).key == [5, 6])
      #expect(
        throws: PagedKVCache.Failure.indices(
          .position(row: 0, request: 0, value: 7, kvLength: 11))
      ) {
        try cache.append(
          keys: one, values: one, at: AppendIndices(batchIndices: [0], positions: [7]),
          pages: table, on: device)
      }
      let batch = try AttentionBatch(queries: RaggedIndex(lengths: [3]), pages: table)
      #expect(batch.newTokenSlots == [-1, 0, 1])
      #expect(
        throws: PagedKVCache.Failure.indices(
          .position(row: 0, request: 0, value: 8, kvLength: 11))
      ) { try cache.append(keys: view, values: view, of: batch, on: device) }
      #expect(throws: PagedKVCache.Failure.pageSize(expected: 4, found: 8)) {
        try cache.append(
          keys: one, values: one, at: AppendIndices(batchIndices: [0], positions: [0]),
          pages: PageTable(raggedLengths: [3], pageSize: 8), on: device)
      }
    }
  }
}
