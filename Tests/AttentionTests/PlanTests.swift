import Attention
import Devices
import Tensors
import Testing

/// Promises of plan and run beyond the numbers.
@Suite(.serialized) struct PlanTests {
  private var mixed: Scenario {
    var scenario = Scenario()
    scenario.elementType = .bfloat16
    scenario.lengths = [(1, 777), (40, 333), (0, 5), (1, 16), (7, 7), (2, 0)]
    return scenario
  }

  @Test(arguments: [1, 2, 5])
  func bitsDoNotDependOnThreads(workers: Int) throws {
    var first: Scenario.Result?
    for threads in [1, 2, 3] {
      let device = try CPUDevice(threads: threads)
      let material = try Scenario.Material(mixed, device)
      for _ in 0..<3 {
        let result = try mixed.run(material, workers: workers)
        if let first {
          #expect(result.output.map(\.bitPattern) == first.output.map(\.bitPattern))
          #expect(result.lse.map(\.bitPattern) == first.lse.map(\.bitPattern))
        } else {
          first = result
        }
      }
    }
  }

  @Test func aReusedPlanGivesTheBitsOfAFreshOne() throws {
    let device = try CPUDevice(threads: 2)
    let plan = try AttentionPlan(device: device, shape: mixed.shape, workers: 3)
    var other = mixed
    other.lengths = [(300, 300), (1, 900)]
    for scenario in [mixed, other, mixed] {
      let material = try Scenario.Material(scenario, device)
      try plan.update(material.batch)
      let reused = try scenario.run(material, plan)
      let fresh = try scenario.run(material, workers: 3)
      #expect(reused.output.map(\.bitPattern) == fresh.output.map(\.bitPattern))
    }
  }

  @Test func fullyMaskedRowsAreExactlyEmpty() throws {
    let device = try CPUDevice(threads: 2)
    for workers in [1, 6] {
      var scenario = mixed
      scenario.variant = AttentionVariant("none for even queries") { v in
        v.mask { at in at.query - 2 * floor(at.query / 2) > 0.5 }
      }
      let material = try Scenario.Material(scenario, device)
      let result = try scenario.run(material, workers: workers)
      // `error` gives infinity where a masked row is not exactly 0 and −∞.
      #expect(
        try scenario.error(result, material, stored: true, sample: 3).output <= material.limit)
      // Request 0's only query stands at 776: even.
      #expect(result.output[..<256].allSatisfy { $0 == 0 && $0.sign == .plus })
      #expect(result.lse[..<4].allSatisfy { $0 == -.infinity })
    }
  }

  @Test(arguments: [1e4, 1e6] as [Float])
  func extremeScores(magnitude: Float) throws {
    let device = try CPUDevice(threads: 2)
    for variant in [
      AttentionVariant.causal, .causal.combined(with: .softCap(1e9)),
      .causal.combined(with: .softCap(1e-3)),
    ] {
      var scenario = mixed
      scenario.elementType = .float32
      scenario.variant = variant
      scenario.queryMagnitude = magnitude
      let material = try Scenario.Material(scenario, device)
      let result = try scenario.run(material, workers: 4)
      #expect(result.output.allSatisfy { $0.isFinite && abs($0) <= 1 })
      #expect(result.lse.allSatisfy { $0.isFinite || $0 == -.infinity })
      // Scores near 1e4 are themselves only known to about 1e-3.
      #expect(try scenario.error(result, material, stored: true, sample: 5).lse <= 1e-5)
    }
  }

  @Test func emptyBatches() throws {
    let device = try CPUDevice(threads: 2)
    for lengths in [[], [(query: 0, kv: 0)], [(query: 0, kv: 9), (query: 0, kv: 0)]] {
      var scenario = mixed
      scenario.lengths = lengths
      let material = try Scenario.Material(scenario, device)
      let result = try scenario.run(material)
      #expect(result.output.allSatisfy { $0.isNaN })  // nothing to write, nothing written
    }
  }

  @Test func moreQueriesThanKeys() throws {
    let device = try CPUDevice(threads: 2)
    var scenario = mixed
    scenario.lengths = [(5, 3)]
    let material = try Scenario.Material(scenario, device)
    let result = try scenario.run(material)
    #expect(try scenario.error(result, material, stored: true).output <= material.limit)
    #expect(result.lse[..<8].allSatisfy { $0 == -.infinity })
    #expect(result.lse[8...].allSatisfy { $0.isFinite })
  }

  @Test func stridedViewsAndBase2() throws {
    let device = try CPUDevice(threads: 2)
    let scenario = mixed
    let material = try Scenario.Material(scenario, device)
    let expected = try scenario.run(material)
    let plan = try AttentionPlan(
      device: device, shape: scenario.shape, batch: material.batch, workers: 2)
    let rows = material.batch.queries.total
    let wide = AlignedBuffer(byteCount: rows * 300 * 4)
    let lse = AlignedBuffer(byteCount: rows * 9 * 4)
    wide.elements(Float.self).update(repeating: 42)
    let output = MatrixView(
      try #require(wide.elements(Float.self).baseAddress) + 10, rows: rows, columns: 256,
      stride: 300)
    let sums = MatrixView(
      try #require(lse.elements(Float.self).baseAddress), rows: rows, columns: 4, stride: 9)
    try plan.run(
      queries: material.queryView(scenario.shape), cache: material.cache, output: output,
      lse: .base2(sums))
    for row in 0..<rows {
      for c in 0..<256 { #expect(output.row(row)[c] == expected.output[row * 256 + c]) }
      for h in 0..<4 {
        let natural = expected.lse[row * 4 + h]
        #expect(
          sums.row(row)[h] == natural
            || abs(sums.row(row)[h] - LogSumExp(natural: natural).base2) < 1e-5)
      }
      #expect(wide.elements(Float.self)[row * 300 + 266] == 42)
    }
  }
}

/// Typed errors for everything that a caller can get wrong.
@Suite struct PlanErrorTests {
  @Test func pageTables() throws {
    typealias Invalid = PageTable.Invalid
    #expect(throws: Invalid.pageSize(0)) {
      try PageTable(offsets: [0], indices: [], lastPageLengths: [], pageSize: 0)
    }
    #expect(throws: Invalid.firstOffset(1)) {
      try PageTable(offsets: [1, 1], indices: [], lastPageLengths: [0], pageSize: 4)
    }
    #expect(throws: Invalid.firstOffset(nil)) {
      try PageTable(offsets: [], indices: [], lastPageLengths: [], pageSize: 4)
    }
    #expect(throws: Invalid.decreasingOffset(request: 1, from: 2, to: 1)) {
      try PageTable(
        offsets: [0, 2, 1], indices: [0, 1], lastPageLengths: [1, 1], pageSize: 4)
    }
    #expect(throws: Invalid.indexCount(expected: 2, found: 1)) {
      try PageTable(offsets: [0, 2], indices: [0], lastPageLengths: [1], pageSize: 4)
    }
    #expect(throws: Invalid.lastPageLengthCount(expected: 1, found: 2)) {
      try PageTable(offsets: [0, 1], indices: [0], lastPageLengths: [1, 1], pageSize: 4)
    }
    for last in [0, 5, -1] {
      #expect(throws: Invalid.lastPageLength(request: 0, value: last, pageSize: 4)) {
        try PageTable(offsets: [0, 1], indices: [0], lastPageLengths: [last], pageSize: 4)
      }
    }
    #expect(throws: Invalid.lastPageLength(request: 0, value: 2, pageSize: 4)) {
      try PageTable(offsets: [0, 0], indices: [], lastPageLengths: [2], pageSize: 4)
    }
    // A wrong page among many, wherever it stands.
    for (index, value) in [
      (0, -3), (1, 1 << 40), (63, .min), (64, .max), (100, Int(Int32.max)), (199, -1),
    ] {
      var indices = Array(0..<200)
      indices[index] = value
      let wrong = Invalid.page(request: index / 50, index: index, value: value)
      #expect(throws: wrong) {
        try PageTable(
          offsets: [0, 50, 100, 150, 200], indices: indices, lastPageLengths: [1, 2, 3, 4],
          pageSize: 4)
      }
      #expect(wrong.description.contains("indices[\(index)]"))
      #expect(throws: wrong) {
        try PageTable(
          offsets: [0, 50, 100, 150, 200], indices: indices,
          positions: (0..<200).map { $0 % 50 * 8 }, kvLengths: [400, 400, 400, 400], pageSize: 4)
      }
    }
    let most = Int(Int32.max) - 1
    #expect(
      try PageTable(offsets: [0, 1], indices: [most], lastPageLengths: [2], pageSize: 4).indices
        == [Int32(most)])
    for (pageSize, value) in [(1 << 30, 3 << 30), (Int(Int32.max), 3 * Int(Int32.max))] {
      #expect(throws: Invalid.length(request: 1, value: value)) {
        try PageTable(
          offsets: [0, 1, 4], indices: [0, 1, 2, 3], lastPageLengths: [1, pageSize],
          pageSize: pageSize)
      }
    }
    #expect(throws: Invalid.length(request: 0, value: 1 << 31)) {
      try PageTable(
        offsets: [0, 1], indices: [0], positions: [0], kvLengths: [1 << 31], pageSize: 4)
    }
    #expect(throws: Invalid.indexCount(expected: 3, found: 2)) {
      try PageTable(requests: [(pages: [0, 1], kvLength: 9)], pageSize: 4)
    }
    #expect(throws: Invalid.negativeLength(request: 0, value: -1)) {
      try PageTable(raggedLengths: [-1], pageSize: 4)
    }
    #expect(throws: Invalid.length(request: 1, value: .max)) {
      try PageTable(raggedLengths: [4, .max], pageSize: 1)
    }
    #expect(throws: Invalid.pageCount(1 << 31)) {
      try PageTable(raggedLengths: [1 << 30, 1 << 30], pageSize: 1)
    }
    let table = try PageTable(raggedLengths: [5, 0, 4], pageSize: 4)
    #expect(table.indices == [0, 1, 2])
    #expect(table.kvLengths == [5, 0, 4])
    #expect(table.offsets == [0, 2, 2, 3])
  }

  @Test func caches() throws {
    typealias Failure = PagedKVCache.Failure
    let device = try CPUDevice(threads: 1)
    func make(_ pages: Int, _ type: ElementType = .float32, dimension: Int = 4) throws(Failure)
      -> PagedKVCache
    {
      try PagedKVCache(
        pageCount: pages, pageSize: 16, kvHeads: 1, headDimension: dimension, elementType: type)
    }
    #expect(throws: Failure.size("page count", 0)) { try make(0) }
    #expect(throws: Failure.elementType(.q4_0)) { try make(1, .q4_0) }
    #expect(throws: Failure.tooLarge) { try make(1 << 30, dimension: 1 << 30) }
    let cache = try make(2)
    var row = [Float](repeating: 1, count: 8)
    try row.withUnsafeMutableBufferPointer { row in
      let base = try #require(row.baseAddress)
      let good = MatrixView(base, rows: 2, columns: 4)
      let bad = MatrixView(base, rows: 2, columns: 3)
      #expect(throws: Failure.slot(32, index: 1, limit: 32)) {
        try cache.append(keys: good, values: good, slots: [0, 32], on: device)
      }
      #expect(throws: Failure.slot(-2, index: 0, limit: 32)) {
        try cache.append(keys: good, values: good, slots: [-2, 1], on: device)
      }
      #expect(throws: Failure.shape("values", expected: [2, 4], found: [2, 3])) {
        try cache.append(keys: good, values: bad, slots: [0, 1], on: device)
      }
    }
  }

  @Test func plans() throws {
    typealias Failure = AttentionPlan.Failure
    let device = try CPUDevice(threads: 1)
    let shape = AttentionShape(queryHeads: 4, kvHeads: 2, headDimension: 8)
    func plan(
      _ shape: AttentionShape, _ variant: AttentionVariant = .causal, workers: Int? = nil
    ) throws(Failure) {
      _ = try AttentionPlan(device: device, shape: shape, variant: variant, workers: workers)
    }
    #expect(throws: Failure.heads(query: 3, kv: 2)) {
      try plan(AttentionShape(queryHeads: 3, kvHeads: 2, headDimension: 8))
    }
    #expect(throws: Failure.size("kv heads", 0)) {
      try plan(AttentionShape(queryHeads: 3, kvHeads: 0, headDimension: 8))
    }
    #expect(throws: Failure.perHead("slopes", expected: 4, found: 3)) {
      try plan(shape, .alibi(slopes: [1, 2, 3]))
    }
    #expect(throws: Failure.workers(0)) { try plan(shape, workers: 0) }
    #expect(throws: Failure.scale(.infinity)) {
      try plan(shape, AttentionVariant("x", scale: .infinity))
    }

    var scenario = Scenario()
    scenario.shape = shape
    let material = try Scenario.Material(scenario, device)
    let good = try AttentionPlan(device: device, shape: shape, batch: material.batch)
    let queries = try material.queryView(shape)
    #expect(throws: Failure.matrix("output", expected: [1, 32], found: [1, 31])) {
      try good.run(queries: queries, cache: material.cache, output: queries.columns(0..<31))
    }
    let small = try PagedKVCache(
      pageCount: 1, pageSize: 16, kvHeads: 2, headDimension: 8, elementType: .float32)
    let far = try AttentionBatch(
      queries: RaggedIndex(lengths: [0, 0, 1]),
      pages: PageTable(
        requests: [
          (pages: [], kvLength: 0), (pages: [0], kvLength: 3), (pages: [0, 7], kvLength: 19),
        ],
        pageSize: 16))
    let wrong = Failure.page(request: 2, index: 2, value: 7, pageCount: 1)
    try good.update(far)
    #expect(throws: wrong) { try good.run(queries: queries, cache: small, output: queries) }
    // The same where keys are numbered through lists of pages.
    let list = try AttentionBatch(
      queries: far.queries, pages: far.pages,
      rows: BlockRows(
        rows: [.init(request: 2, queries: 0..<1)], offsets: [0, 1], pages: [1]))
    try good.update(list)
    #expect(throws: Failure.page(request: 2, index: 0, value: 7, pageCount: 1)) {
      try good.run(queries: queries, cache: small, output: queries)
    }
    let other = try PagedKVCache(pageCount: 9, pageSize: 8, kvHeads: 2, headDimension: 8)
    #expect(throws: Failure.cache("page size", expected: 16, found: 8)) {
      try good.run(queries: queries, cache: other, output: queries)
    }
    #expect(throws: AttentionBatch.Invalid.requestCount(queries: 2, pages: 1)) {
      try AttentionBatch(
        queries: RaggedIndex(lengths: [1, 1]),
        pages: PageTable(raggedLengths: [3], pageSize: 16))
    }
  }
}
