import Attention
import Tensors

extension RandomCase {
  private typealias Length = (query: Int, kv: Int)

  /// A batch of the case's format over a pool, and the runs of keys that all its requests share.
  func pool(_ random: inout Random) throws -> (PoolCase, runs: [SharedRun]) {
    switch format {
    case .pages, .nhd, .hnd, .latent:
      let lengths = lengths(&random)
      var test = try paged(lengths, &random)
      test.memory =
        switch format {
        case .nhd: .nhd
        case .hnd: .hnd
        case .latent: .latent
        default: .own
        }
      return (test, [])
    case .sharedPrefix: return try sharedPrefix(&random)
    case .positions: return (try positions(&random), [])
    case .blockMask: return (try blockMask(heads: nil, &random), [])
    case .blockMaskPerHead: return (try blockMask(heads: shape.kvHeads, &random), [])
    case .importance: return (try importance(&random), [])
    case .coveredMask: return (try coveredMask(&random), [])
    case .speculation: return (try speculation(&random), [])
    }
  }

  /// New tokens and tokens with keys of one to four requests.
  private func lengths(_ random: inout Random) -> [Length] {
    (0..<Int.random(in: 1...4, using: &random)).map { r in
      let before = Int.random(in: 0...(random.oneIn(20) ? 500 : 60), using: &random)
      let isDecode = step == .decode || step == .mixed && r % 2 == 0
      if isDecode { return (1, before) }
      let new = Int.random(in: 0...(random.oneIn(20) ? 150 : 24), using: &random)
      // A few requests bring more queries than they have keys.
      return (new, random.oneIn(20) ? new / 2 : new + (random.oneIn(2) ? before : 0))
    }
  }

  private func paged(_ lengths: [Length], rows: BlockRows? = nil, _ random: inout Random) throws
    -> PoolCase
  {
    let pages = try BlockRowTests.Pages(lengths.map(\.kv), pageSize, &random)
    return PoolCase(
      shape: shape, pageCount: pages.count,
      batch: try AttentionBatch(
        queries: RaggedIndex(lengths: lengths.map(\.query)), pages: pages.table, rows: rows),
      slot: pages.slot)
  }

  /// Every request begins with the same pages.
  private func sharedPrefix(_ random: inout Random) throws -> (PoolCase, runs: [SharedRun]) {
    let prefix = pageSize * Int.random(in: 1...max(60 / pageSize, 1), using: &random)
    let lengths = lengths(&random).map { (query: $0.query, kv: $0.kv + prefix) }
    let own = try BlockRowTests.Pages(lengths.map { $0.kv - prefix }, pageSize, &random)
    let shared = Array(own.count..<own.count + prefix / pageSize)
    let lists = own.lists.map { shared + $0 }
    let table = try PageTable(
      requests: zip(lists, lengths).map { (pages: $0, kvLength: $1.kv) }, pageSize: pageSize)
    let size = pageSize
    let test = PoolCase(
      shape: shape, pageCount: own.count + shared.count,
      batch: try AttentionBatch(
        queries: RaggedIndex(lengths: lengths.map(\.query)), pages: table)
    ) { r, position in lists[r][position / size] * size + position % size }
    return (test, [SharedRun(requests: Array(lengths.indices), keys: 0..<prefix)])
  }

  /// Pages with gaps between their positions.
  private func positions(_ random: inout Random) throws -> PoolCase {
    let queries = lengths(&random).map(\.query)
    let lists = queries.map { _ -> [Int] in
      var next = 0
      return (0..<Int.random(in: 0...max(80 / pageSize, 2), using: &random)).map { _ in
        if random.oneIn(3) { next += Int.random(in: 0...3 * pageSize, using: &random) }
        defer { next += pageSize }
        return next
      }
    }
    let kvLengths = lists.map { list in
      list.last.map { $0 + Int.random(in: 1...pageSize, using: &random) } ?? 0
    }
    var offsets = [0]
    for list in lists { offsets.append(offsets[offsets.count - 1] + list.count) }
    let count = offsets[lists.count] + 2
    let pool = Array(0..<count).shuffled(using: &random)
    let table = try PageTable(
      offsets: offsets, indices: Array(pool.prefix(count - 2)), positions: lists.flatMap { $0 },
      kvLengths: kvLengths, pageSize: pageSize)
    let (firsts, size) = (offsets, pageSize)
    return PoolCase(
      shape: shape, pageCount: count,
      batch: try AttentionBatch(queries: RaggedIndex(lengths: queries), pages: table)
    ) { r, position in
      lists[r].lastIndex { $0 <= position && position < $0 + size }
        .map { pool[firsts[r] + $0] * size + position - lists[r][$0] }
    }
  }

  /// Blocks of any sizes, for all heads together or for each.
  private func blockMask(heads: Int?, _ random: inout Random) throws -> PoolCase {
    let lengths = lengths(&random)
    var masks: [[BlockMask]] = []
    var dense: [[[[Bool]]]] = []
    for length in lengths {
      var ofHeads: [BlockMask] = []
      var maps: [[[Bool]]] = []
      for _ in 0..<(length.query > 0 ? heads ?? 1 : 0) {
        let rowSizes = FormatTests.partition(length.query, unit: 1, &random)
        let columnSizes = FormatTests.partition(length.kv, unit: pageSize, &random)
        let map = (0..<rowSizes.count * columnSizes.count).map { _ in !random.oneIn(3) }
        ofHeads.append(try BlockMask(rowSizes: rowSizes, columnSizes: columnSizes, map: map))
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
    var test = try paged(lengths, rows: BlockRows(masks: masks, pageSize: pageSize), &random)
    let expected = dense
    test.attends = { r, i, head, position in expected[r][heads == nil ? 0 : head][i][position] }
    return test
  }

  /// A third of every request's pages.
  private func importance(_ random: inout Random) throws -> PoolCase {
    let lengths = lengths(&random)
    let chosen = lengths.map { length in
      (0..<shape.kvHeads).map { _ in
        (0..<(length.kv + pageSize - 1) / pageSize).filter { _ in random.oneIn(3) }
          .shuffled(using: &random)
      }
    }
    let isPerHead = random.oneIn(2)
    let queries = try RaggedIndex(lengths: lengths.map(\.query))
    var test = try paged(
      lengths,
      rows: isPerHead
        ? BlockRows(selectingPerHead: chosen, queries: queries)
        : BlockRows(selecting: chosen.map { $0[0] }, queries: queries), &random)
    let size = pageSize
    test.attends = { r, _, head, position in
      chosen[r][isPerHead ? head : 0].contains(position / size)
    }
    return test
  }

  /// Block rows that cover a sparse mask: the pages in which a block of queries has a bit.
  private func coveredMask(_ random: inout Random) throws -> PoolCase {
    let lengths = lengths(&random)
    let shapes = lengths.map { PackedMask.Shape(queries: $0.query, keys: $0.kv) }
    let bits = shapes.map { shape in
      (0..<shape.queries * shape.keys).map { _ in random.oneIn(20) }
    }
    let mask = try PackedMask(bits, shapes: shapes)
    let (rowSize, size) = (Int.random(in: 1...20, using: &random), pageSize)
    var test = try paged(
      lengths, rows: BlockRows(covering: mask, rowSize: rowSize, pageSize: pageSize), &random)
    test.attends = { r, i, _, position in
      let (block, page) = (i / rowSize * rowSize, position / size * size)
      return (block..<min(block + rowSize, shapes[r].queries)).contains { query in
        (page..<min(page + size, shapes[r].keys)).contains {
          bits[r][query * shapes[r].keys + $0]
        }
      }
    }
    return test
  }

  /// Draft trees: their mask is the data of a variant that takes one, else the batch is plain.
  private func speculation(_ random: inout Random) throws -> PoolCase {
    let lengths = lengths(&random).map { (query: min($0.query, $0.kv), kv: $0.kv) }
    let trees = try lengths.map { length in
      try SpeculationTree(
        parents: (0..<length.query).map { Int.random(in: -1..<$0, using: &random) })
    }
    let pages = try BlockRowTests.Pages(lengths.map(\.kv), pageSize, &random)
    let drafts = try SpeculationBatch(trees: trees, pages: pages.table)
    var test = PoolCase(
      shape: shape, pageCount: pages.count, batch: drafts.batch, slot: pages.slot)
    test.tensors = VariantCase.randomTensors(variant, drafts.batch, shape)
    for mask in variant.declarations.masks { test.tensors[mask: mask.name] = drafts.mask.bytes }
    return test
  }
}
