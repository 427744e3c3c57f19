import Attention
import Devices
import Tensors
import Testing

/// Attention over block rows of every origin, against dense boolean masks.
@Suite struct BlockRowTests {
  static let pageSizes = [1, 3, 16, 32]

  /// Variants that look at positions: whatever a page list leaves out, they stay where they are.
  static func variants(heads: Int) -> [AttentionVariant] {
    [
      .full, .causal, .causal.combined(with: .slidingWindow(left: 13)),
      .causal.combined(with: .alibi(heads: heads)),
      AttentionVariant("every third") { v in
        v.mask { at in at.kv - 3 * floor(at.kv / 3) < 0.5 }
        v.logits { s, at in s + 0.01 * (at.kv - at.query) }
      },
      .causal.combined(with: .rope()), .streaming(sinks: 5, window: 40),
      .causal.combined(with: .documentMask), .customMask, .causal.combined(with: .cacheScales),
      .softCap(2),
    ]
  }

  /// Data for every tensor that these variants name.
  private static func tensors(
    for variant: AttentionVariant, _ batch: AttentionBatch, kvHeads: Int, _ random: inout Random
  ) -> VariantTensors {
    var tensors = VariantTensors()
    let tokens = batch.pages.kvLengths.reduce(0) { $0 + Int($1) }
    if variant.name.contains("document") {
      tensors["document"] = (0..<tokens).map { _ in Float(Int.random(in: 0..<3, using: &random)) }
    }
    if variant.name.contains("scales") {
      tensors["key-scale"] = (0..<tokens * kvHeads).map { _ in 1.5 + random.float() }
      tensors["value-scale"] = (0..<tokens * kvHeads).map { _ in 1.5 + random.float() }
    }
    if variant.name.contains("custom") {
      var bits = random
      tensors[mask: "custom-mask"] = VariantTensors.packing(batch) { _, _, _ in
        Int.random(in: 0..<3, using: &bits) > 0
      }
      random = bits
    }
    return tensors
  }

  /// Requests in shuffled pages of a pool that is a little larger.
  struct Pages {
    var table: PageTable
    var lists: [[Int]]
    var count: Int

    init(_ lengths: [Int], _ pageSize: Int, _ random: inout Random) throws {
      let needed = lengths.map { ($0 + pageSize - 1) / pageSize }
      count = needed.reduce(2, +)
      var pool = Array(0..<count).shuffled(using: &random)
      lists = needed.map { need in
        defer { pool.removeFirst(need) }
        return Array(pool.prefix(need))
      }
      table = try PageTable(
        requests: zip(lists, lengths).map { (pages: $0, kvLength: $1) }, pageSize: pageSize)
    }

    func slot(_ r: Int, _ position: Int) -> Int {
      lists[r][position / table.pageSize] * table.pageSize + position % table.pageSize
    }
  }

  @Test(arguments: pageSizes)
  func fixedBlockMasks(pageSize: Int) throws {
    let device = try CPUDevice(threads: 2)
    var random = Random(UInt64(pageSize))
    for (number, variant) in Self.variants(heads: 4).enumerated() {
      let (m, n) = ([37, 5, 130, 33, 64][number % 5], [150, 67, 140, 333, 64][number % 5])
      let (r, c) = ([5, 1, 64, 7, 100][number % 5], pageSize * [1, 2, 3, 1, 2][number % 5])
      var offsets = [0]
      var indices: [Int] = []
      for row in 0..<(m + r - 1) / r {
        // Every other row sparse, one without any.
        let columns = (0..<(n + c - 1) / c).filter { _ in
          row != 1 && Int.random(in: 0..<4, using: &random) < (row % 2 == 0 ? 1 : 3)
        }
        indices += columns.shuffled(using: &random)
        offsets.append(indices.count)
      }
      let mask = try BlockMask(
        queries: m, keys: n, rowSize: r, columnSize: c, offsets: offsets, indices: indices)
      let pages = try Pages([n], pageSize, &random)
      let batch = try AttentionBatch(
        queries: RaggedIndex(lengths: [m]), pages: pages.table,
        rows: BlockRows(masks: [[mask]], pageSize: pageSize))
      var isRead = Set<[Int]>()
      for row in 0..<offsets.count - 1 {
        for column in indices[offsets[row]..<offsets[row + 1]] { isRead.insert([row, column]) }
      }
      let blocks = isRead
      var test = PoolCase(pageCount: pages.count, batch: batch, slot: pages.slot)
      test.variant = variant
      test.tensors = Self.tensors(for: variant, batch, kvHeads: 2, &random)
      test.elementType = number % 2 == 0 ? .float32 : .bfloat16
      test.attends = { _, i, _, position in blocks.contains([i / r, position / c]) }
      try test.check(device, "R \(r), C \(c), pages of \(pageSize)")
    }
  }

  @Test(arguments: pageSizes)
  func variableBlockMasksOfEveryHead(pageSize: Int) throws {
    let device = try CPUDevice(threads: 2)
    var random = Random(UInt64(pageSize) + 10)
    for variant in Self.variants(heads: 6) {
      let lengths: [(query: Int, kv: Int)] = [
        (23, 36 * pageSize), (1, 7 * pageSize), (0, 3),
      ]
      let heads = 3
      var masks: [[BlockMask]] = []
      // Of every request and head: whether a query reads a key.
      var dense: [[[[Bool]]]] = []
      for length in lengths {
        var ofHeads: [BlockMask] = []
        var maps: [[[Bool]]] = []
        for _ in 0..<heads where length.query > 0 {
          let rowSizes = FormatTests.partition(length.query, unit: 1, &random)
          let columnSizes = FormatTests.partition(length.kv, unit: pageSize, &random)
          let map = (0..<rowSizes.count * columnSizes.count).map { _ in
            Bool.random(using: &random)
          }
          ofHeads.append(
            try BlockMask(rowSizes: rowSizes, columnSizes: columnSizes, map: map))
          let columnOf = columnSizes.enumerated().flatMap { [Int](repeating: $0, count: $1) }
          maps.append(
            rowSizes.enumerated().flatMap { row, size in
              [[Bool]](
                repeating: columnOf.map { map[row * columnSizes.count + $0] }, count: size)
            })
        }
        masks.append(ofHeads)
        dense.append(maps)
      }
      let expected = dense
      let pages = try Pages(lengths.map(\.kv), pageSize, &random)
      let batch = try AttentionBatch(
        queries: RaggedIndex(lengths: lengths.map(\.query)), pages: pages.table,
        rows: BlockRows(masks: masks, pageSize: pageSize))
      var test = PoolCase(pageCount: pages.count, batch: batch, slot: pages.slot)
      test.shape = AttentionShape(
        queryHeads: 6, kvHeads: 3, headDimension: 16, valueDimension: 20)
      test.variant = variant
      test.tensors = Self.tensors(for: variant, batch, kvHeads: 3, &random)
      test.attends = { r, i, head, position in expected[r][head][i][position] }
      try test.check(device, "pages of \(pageSize)")
    }
  }

  @Test(arguments: pageSizes)
  func importanceMasks(pageSize: Int) throws {
    let device = try CPUDevice(threads: 2)
    var random = Random(UInt64(pageSize) + 20)
    for isPerHead in [false, true] {
      for variant in Self.variants(heads: 4) {
        let lengths: [(query: Int, kv: Int)] = [
          (1, 400), (1, 33), (3, 250), (1, 1), (0, 40), (2, 700),
        ]
        let pages = try Pages(lengths.map(\.kv), pageSize, &random)
        // A quarter of the pages, in any order; the last one not always among them.
        let chosen = pages.lists.map { list in
          (0..<2).map { _ in
            list.indices.filter { _ in Int.random(in: 0..<4, using: &random) == 0 }
              .shuffled(using: &random)
          }
        }
        let queries = try RaggedIndex(lengths: lengths.map(\.query))
        let rows =
          isPerHead
          ? try BlockRows(selectingPerHead: chosen, queries: queries)
          : try BlockRows(selecting: chosen.map { $0[0] }, queries: queries)
        var test = PoolCase(
          pageCount: pages.count,
          batch: try AttentionBatch(queries: queries, pages: pages.table, rows: rows),
          slot: pages.slot)
        test.variant = variant
        test.tensors = Self.tensors(for: variant, test.batch, kvHeads: 2, &random)
        test.elementType = .bfloat16
        test.attends = { r, _, head, position in
          chosen[r][isPerHead ? head : 0].contains(position / pageSize)
        }
        try test.check(device, "pages of \(pageSize)")
      }
    }
  }

  @Test(arguments: pageSizes)
  func pagesAtPositionsOfTheirOwn(pageSize: Int) throws {
    let device = try CPUDevice(threads: 2)
    var random = Random(UInt64(pageSize) + 30)
    for (number, variant) in Self.variants(heads: 4).enumerated() {
      var offsets = [0]
      var positions: [[Int]] = []
      var lengths: [Int] = []
      for r in 0..<6 {
        // Gaps of any length, or none; request 4 only lacks a beginning, request 5 has no page.
        var list: [Int] = []
        var next = r == 4 ? 4 * pageSize : 0
        for _ in 0..<[9, 30, 1, 2 + 90 / pageSize, 12, 0][r] {
          if r != 4, Bool.random(using: &random) {
            next += Int.random(in: 0...3 * pageSize, using: &random)
          }
          list.append(next)
          next += pageSize
        }
        offsets.append(offsets[r] + list.count)
        positions.append(list)
        // The last page may be partly filled, or be followed by tokens without a page.
        let last = list.last ?? 0
        lengths.append(
          last + Int.random(in: 1...pageSize + (r == 3 ? 9 : 0), using: &random))
      }
      let count = offsets[6] + 3
      let pool = Array(0..<count).shuffled(using: &random)
      let table = try PageTable(
        offsets: offsets, indices: Array(pool.prefix(offsets[6])),
        positions: positions.flatMap { $0 }, kvLengths: lengths, pageSize: pageSize)
      let queries = [1, 40, 1, 17, 9, 2]
      let batch = try AttentionBatch(queries: RaggedIndex(lengths: queries), pages: table)
      let (lists, firsts) = (positions, offsets)
      var test = PoolCase(pageCount: count, batch: batch) { r, position in
        lists[r].lastIndex { $0 <= position && position < $0 + pageSize }
          .map { pool[firsts[r] + $0] * pageSize + position - lists[r][$0] }
      }
      test.variant = variant
      test.tensors = Self.tensors(for: variant, batch, kvHeads: 2, &random)
      test.elementType = number % 2 == 0 ? .float16 : .float32
      try test.check(device, "pages of \(pageSize)")
    }
  }

  @Test(arguments: pageSizes)
  func radixTrees(pageSize: Int) throws {
    let device = try CPUDevice(threads: 2)
    var random = Random(UInt64(pageSize) + 40)
    // Two prompts; the first is continued three times, one of these twice.
    let shape: [(parent: Int?, pages: Int, rest: Int)] = [
      (nil, 9, 0), (nil, 4, 0), (0, 3, 0), (0, 2, 1), (2, 5, 1), (2, 1, 1), (0, 40, 1), (1, 2, 1),
    ]
    let count = shape.reduce(3) { $0 + $1.pages }
    var pool = Array(0..<count).shuffled(using: &random)
    let nodes = shape.enumerated().map { i, node in
      defer { pool.removeFirst(node.pages) }
      let tokens = node.pages * pageSize - (pageSize > 1 ? node.rest : 0)
      return RadixTree.Node(
        parent: node.parent, tokens: (0..<tokens).map { Int32(1_000 * i + $0) },
        pages: Array(pool.prefix(node.pages)))
    }
    let tree = try RadixTree(nodes: nodes, pageSize: pageSize)
    let leaves = [4, 6, 7, 5, 3, 0, 4]
    let queries = [1, 3, 1, 1, 2, 1, 1]
    let table = try tree.pageTable(leaves: leaves)
    // The path of a leaf token by token.
    let slots = leaves.map { leaf in
      var slots: [Int] = []
      var next: Int? = leaf
      while let node = next {
        slots =
          nodes[node].tokens.indices.map {
            nodes[node].pages[$0 / pageSize] * pageSize + $0 % pageSize
          } + slots
        next = nodes[node].parent
      }
      return slots
    }
    #expect(table.kvLengths.map(Int.init) == slots.map(\.count))
    for variant in Self.variants(heads: 4) {
      var test = PoolCase(
        pageCount: count,
        batch: try AttentionBatch(queries: RaggedIndex(lengths: queries), pages: table)
      ) { slots[$0][$1] }
      test.variant = variant
      test.tensors = Self.tensors(for: variant, test.batch, kvHeads: 2, &random)
      try test.check(device, "pages of \(pageSize)")
    }
  }

  @Test(arguments: pageSizes)
  func speculationTrees(pageSize: Int) throws {
    let device = try CPUDevice(threads: 2)
    var random = Random(UInt64(pageSize) + 60)
    let lengths: [(draft: Int, kv: Int)] = [(13, 200), (1, 40), (0, 30), (40, 40), (64, 777)]
    let parents = lengths.map { length in
      (0..<length.draft).map { Int.random(in: -1..<$0, using: &random) }
    }
    let pages = try Pages(lengths.map(\.kv), pageSize, &random)
    let step = try SpeculationBatch(
      trees: parents.map { try SpeculationTree(parents: $0) }, pages: pages.table)
    /// Whether a draft token is another one or above it.
    func isOnPath(_ r: Int, _ token: Int, of i: Int) -> Bool {
      var next = i
      while next > token { next = parents[r][next] }
      return next == token
    }
    var test = PoolCase(pageCount: pages.count, batch: step.batch, slot: pages.slot)
    test.attends = { r, i, _, position in
      let token = position - (lengths[r].kv - lengths[r].draft)
      return token < 0 || isOnPath(r, token, of: i)
    }
    for (variant, name) in [
      (AttentionVariant.customMask, "custom-mask"), (.treeMask, "tree"),
      (.treeMask.combined(with: .rope()), "tree"),
    ] {
      test.variant = variant
      test.tensors[mask: name] = step.mask.bytes
      try test.check(device, "pages of \(pageSize)")
      test.tensors = VariantTensors()
    }
  }

  /// Pages without a set bit are not read at all; within the others the mask decides.
  @Test(arguments: pageSizes)
  func rowsThatCoverACustomMask(pageSize: Int) throws {
    let device = try CPUDevice(threads: 2)
    var random = Random(UInt64(pageSize) + 70)
    let shapes = [(20, 300), (1, 77), (0, 10), (45, 45)].map {
      PackedMask.Shape(queries: $0.0, keys: $0.1)
    }
    let bits = shapes.map { shape in
      (0..<shape.queries * shape.keys).map { _ in Int.random(in: 0..<30, using: &random) == 0 }
    }
    let mask = try PackedMask(bits, shapes: shapes)
    let pages = try Pages(shapes.map(\.keys), pageSize, &random)
    for rowSize in [1, 8, 100] {
      let rows = try BlockRows(covering: mask, rowSize: rowSize, pageSize: pageSize)
      let batch = try AttentionBatch(
        queries: RaggedIndex(lengths: shapes.map(\.queries)), pages: pages.table, rows: rows)
      var test = PoolCase(pageCount: pages.count, batch: batch, slot: pages.slot)
      test.variant = .customMask
      test.tensors[mask: "custom-mask"] = mask.bytes
      // The slots of listed pages hold numbers; the oracle sees the mask alone.
      test.attends = { r, i, _, position in
        let block = i / rowSize * rowSize
        let page = position / pageSize * pageSize
        return (block..<min(block + rowSize, shapes[r].queries)).contains { query in
          (page..<min(page + pageSize, shapes[r].keys)).contains {
            bits[r][query * shapes[r].keys + $0]
          }
        }
      }
      try test.check(device, "pages of \(pageSize)")
    }
  }

  /// Any block rows: random cuts of the queries, random pages, for all heads or for each.
  @Test func randomBlockRows() throws {
    let device = try CPUDevice(threads: 2)
    var random = Random(50)
    for number in 0..<110 {
      let pageSize = [1, 2, 3, 5, 16, 48][number % 6]
      let kvHeads = Int.random(in: 1...3, using: &random)
      let lengths = (0..<Int.random(in: 1...5, using: &random)).map { _ in
        (
          query: Int.random(in: 0...50, using: &random),
          kv: Int.random(in: 0...[40, 300][number % 2], using: &random)
        )
      }
      let pages = try Pages(lengths.map(\.kv), pageSize, &random)
      var rows: [BlockRows.Row] = []
      var lists: [[Int]] = []
      for (r, length) in lengths.enumerated() where length.query > 0 {
        let heads: [Int?] = Bool.random(using: &random) ? [nil] : Array(0..<kvHeads)
        for head in heads {
          var next = 0
          while next < length.query {
            let end = min(next + Int.random(in: 1...30, using: &random), length.query)
            rows.append(BlockRows.Row(request: r, queries: next..<end, kvHead: head))
            let share = Int.random(in: 1...4, using: &random)
            lists.append(
              pages.lists[r].indices.filter { _ in
                Int.random(in: 0..<4, using: &random) < share
              }.shuffled(using: &random))
            next = end
          }
        }
      }
      var offsets = [0]
      for list in lists { offsets.append(offsets[offsets.count - 1] + list.count) }
      let batch = try AttentionBatch(
        queries: RaggedIndex(lengths: lengths.map(\.query)), pages: pages.table,
        rows: BlockRows(rows: rows, offsets: offsets, pages: lists.flatMap { $0 }))
      let (all, chosen) = (rows, lists)
      let group = Int.random(in: 1...3, using: &random)
      var test = PoolCase(pageCount: pages.count, batch: batch, slot: pages.slot)
      test.shape = AttentionShape(
        queryHeads: kvHeads * group, kvHeads: kvHeads,
        headDimension: 2 * Int.random(in: 1...20, using: &random))
      let variants = Self.variants(heads: kvHeads * group)
      test.variant = variants[number % variants.count]
      test.tensors = Self.tensors(for: test.variant, batch, kvHeads: kvHeads, &random)
      test.seed = UInt64(number)
      test.elementType = [.float32, .bfloat16, .float16][number % 3]
      test.attends = { r, i, head, position in
        all.indices.contains {
          all[$0].request == r && all[$0].queries.contains(i)
            && (all[$0].kvHead ?? head) == head && chosen[$0].contains(position / pageSize)
        }
      }
      // Rows of two elements may nearly cancel.
      try test.check(device, "case \(number)", tolerance: 2)
    }
  }
}
