import Attention
import Devices
import Tensors
import Testing

/// Batch-invariant plans: a request's bits are its own.
@Suite struct InvarianceTests {
  @Test func bitsDoNotDependOnNeighbours() throws {
    let device = try CPUDevice(threads: 2)
    var scenario = Scenario()
    scenario.shape = AttentionShape(queryHeads: 6, kvHeads: 2, headDimension: 16)
    scenario.elementType = .bfloat16
    scenario.lengths = [
      (1, 5_000), (1, 4_800), (3, 2_500), (1, 2_049), (1, 2_048), (8, 2_400), (9, 2_400), (1, 777),
      (60, 300), (1, 17), (1, 1), (0, 30), (2, 1), (30, 30),
    ]
    // Shared beginnings: composition must stay out of it.
    scenario.parts = [[(1, 4_000)], [(1, 4_000)]]
    let material = try Scenario.Material(scenario, device)
    let alone = try scenario.lengths.indices.map {
      try run(scenario, material, [$0], workers: 1, device)
    }
    let merged = try AttentionPlan(
      device: device, shape: scenario.shape, batch: material.batch, isBatchInvariant: true)
    #expect(!merged.schedule.allMerges.isEmpty && merged.readTogether.isEmpty)

    var random = Random(9)
    for _ in 0..<1_000 {
      var requests = scenario.lengths.indices.filter { _ in random.next() % 3 == 0 }
      requests.shuffle(using: &random)
      let workers = 1 + Int(random.next() % 9)
      let together = try run(scenario, material, requests, workers: workers, device)
      var start = 0
      for request in requests {
        let count = alone[request].count
        #expect(
          together[start..<start + count].map(\.bitPattern) == alone[request].map(\.bitPattern),
          "request \(request) among \(requests), \(workers) workers")
        start += count
      }
    }
    // And they are right.
    let all = try scenario.run(material, merged)
    let error = try scenario.error(all, material, stored: true, sample: 5)
    #expect(error.output <= material.limit && error.lse <= 1e-5)
  }

  /// Each request's outputs followed by its log-sum-exps, request after request.
  private func run(
    _ scenario: Scenario, _ material: Scenario.Material, _ requests: [Int], workers: Int,
    _ device: CPUDevice
  ) throws -> [Float] {
    let table = material.batch.pages
    let batch = try AttentionBatch(
      queries: RaggedIndex(lengths: requests.map { scenario.lengths[$0].query }),
      pages: PageTable(
        requests: requests.map { r in
          (pages: table.pages(of: r).map { Int($0) }, kvLength: scenario.lengths[r].kv)
        }, pageSize: table.pageSize))
    let (columns, heads) = (6 * 16, 6)
    let rows = batch.queries.total
    let queries = AlignedBuffer(byteCount: max(rows, 1) * columns * 4)
    let all = material.queries.elements(Float.self)
    for (i, request) in requests.enumerated() {
      let from = material.batch.queries[request]
      for row in 0..<from.count {
        for c in 0..<columns {
          queries.elements(Float.self)[(batch.queries[i].lowerBound + row) * columns + c] =
            all[(from.lowerBound + row) * columns + c]
        }
      }
    }
    let output = AlignedBuffer(byteCount: max(rows, 1) * columns * 4)
    let lse = AlignedBuffer(byteCount: max(rows, 1) * heads * 4)
    output.elements(Float.self).update(repeating: .nan)
    lse.elements(Float.self).update(repeating: .nan)
    func view(_ buffer: AlignedBuffer, _ columns: Int) throws -> MatrixView {
      MatrixView(
        try #require(buffer.elements(Float.self).baseAddress), rows: rows, columns: columns)
    }
    let plan = try AttentionPlan(
      device: device, shape: scenario.shape, batch: batch, workers: workers,
      isBatchInvariant: true)
    try plan.run(
      queries: view(queries, columns), cache: material.cache, output: view(output, columns),
      lse: .natural(view(lse, heads)))
    var result: [Float] = []
    for i in requests.indices {
      for row in batch.queries[i] {
        result += output.elements(Float.self)[row * columns..<(row + 1) * columns]
        result += lse.elements(Float.self)[row * heads..<(row + 1) * heads]
      }
    }
    return result
  }

  /// However a request's queries are cut into steps, beyond a chunk of keys too: the bits of a row
  /// are the same.
  @Test(arguments: [nil, 70, 300, 2_500], [ElementType.bfloat16, .float16, .float32])
  func bitsDoNotDependOnCuts(window: Int?, type: ElementType) throws {
    var scenario = Scenario()
    scenario.elementType = type
    scenario.lengths = [(200, 4_150)]
    if let window {
      scenario.variant = .causal.combined(with: .slidingWindow(left: window))
    }
    try expectSameBits(scenario, cuts: [1, 2, 3, 5, 8, 9, 43, 64])
  }

  /// Query tiles that are worked on together, panels made once for them, leave each other's bits alone:
  /// 42 queries are one tile.
  @Test(arguments: [1, 3, 16], [ElementType.bfloat16, .float8E4M3, .float16])
  func bitsDoNotDependOnTilesBesideThem(pageSize: Int, type: ElementType) throws {
    let doubled = AttentionVariant("values by position") { v in
      v.value { x, at in x.own * (1 + at.kv / 100) }
    }
    for variant in [
      AttentionVariant.causal, .causal.combined(with: .rope()),
      .causal.combined(with: .rope(.interleaved)), .causal.combined(with: doubled),
      .causal.combined(with: .slidingWindow(left: 150)),
    ] {
      var scenario = Scenario()
      scenario.variant = variant
      scenario.elementType = type
      scenario.pageSize = pageSize
      // The last reach into a second chunk and a third.
      for keys in [430, 1_100, 4_200] {
        scenario.lengths = [(430, keys)]
        try expectSameBits(scenario, cuts: [42])
      }
    }
  }

  /// Runs one request's queries in steps of each number of `cuts`, and all at once.
  private func expectSameBits(_ scenario: Scenario, cuts: [Int]) throws {
    let device = try CPUDevice(threads: 2)
    var scenario = scenario
    scenario.shape = AttentionShape(queryHeads: 6, kvHeads: 2, headDimension: 40)
    let material = try Scenario.Material(scenario, device)
    let table = material.batch.pages
    let (count, keys) = scenario.lengths[0]
    let columns = 6 * 40
    let queries = try #require(material.queries.elements(Float.self).baseAddress)
    var expected: [UInt32]?
    for cut in [count] + cuts {
      let output = AlignedBuffer(byteCount: count * columns * 4)
      output.elements(Float.self).update(repeating: .nan)
      let base = try #require(output.elements(Float.self).baseAddress)
      for start in stride(from: 0, to: count, by: cut) {
        let rows = start..<min(start + cut, count)
        let batch = try AttentionBatch(
          queries: RaggedIndex(lengths: [rows.count]),
          pages: PageTable(
            requests: [
              (
                pages: table.pages(of: 0).map { Int($0) }, kvLength: keys - count + rows.upperBound
              )
            ], pageSize: table.pageSize))
        let plan = try AttentionPlan(
          device: device, shape: scenario.shape, variant: scenario.variant, batch: batch,
          workers: 1 + cut % 3, isBatchInvariant: true)
        try plan.run(
          queries: MatrixView(queries + start * columns, rows: rows.count, columns: columns),
          cache: material.cache,
          output: MatrixView(base + start * columns, rows: rows.count, columns: columns))
      }
      let bits = output.elements(Float.self).map(\.bitPattern)
      if let expected {
        #expect(bits == expected, "\(scenario.variant.name), \(keys) keys, steps of \(cut)")
      } else {
        expected = bits
      }
    }
  }

  /// A window of no more than a chunk of keys is read in one piece, wherever it lies; a longer one is not.
  @Test func shortWindowsAreNotCut() throws {
    let device = try CPUDevice(threads: 1)
    var scenario = Scenario()
    scenario.lengths = [(300, 4_150), (1, 5_000)]
    let material = try Scenario.Material(scenario, device)
    for (left, isCut) in [(70, false), (2_047, false), (2_048, true)] {
      let plan = try AttentionPlan(
        device: device, shape: scenario.shape,
        variant: .causal.combined(with: .slidingWindow(left: left)), batch: material.batch,
        isBatchInvariant: true)
      #expect(plan.schedule.allMerges.isEmpty != isCut)
    }
  }

  @Test func givenRunsAreRefused() throws {
    let device = try CPUDevice(threads: 1)
    let scenario = Scenario()
    let material = try Scenario.Material(scenario, device)
    let plan = try AttentionPlan(
      device: device, shape: scenario.shape, isBatchInvariant: true)
    #expect(throws: AttentionPlan.Failure.invariantComposition) {
      try plan.update(material.batch, composition: .explicit([]))
    }
    #expect(throws: AttentionPlan.Failure.invariantComposition) {
      try AttentionPlan(
        device: device, shape: scenario.shape, composition: .explicit([]), isBatchInvariant: true)
    }
  }
}
