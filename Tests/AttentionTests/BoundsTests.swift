import AllocationCounter
import Attention
import Devices
import Tensors
import Testing

/// Static launches: with bounds nothing moves, nothing grows and nothing is allocated.
@Suite struct BoundsTests {
  private let shape = AttentionShape(queryHeads: 6, kvHeads: 2, headDimension: 16)

  /// Random batches within the bounds, some as large as they allow, many with shared beginnings.
  private func randomBatch(_ bounds: AttentionBounds, _ random: inout Random) throws
    -> AttentionBatch
  {
    let isFull = random.next() % 3 == 0
    let requests = isFull ? bounds.requests : Int(random.next() % UInt64(bounds.requests + 1))
    var queries = [Int](repeating: 0, count: requests)
    var pages = [[Int]](repeating: [], count: requests)
    var lengths = [Int](repeating: 0, count: requests)
    var (rowsLeft, pagesLeft) = (bounds.queryRows, bounds.pages)
    for r in 0..<requests {
      let isLast = isFull && r == requests - 1
      let rows = isLast ? rowsLeft : min(Int(random.next() % 3), rowsLeft)
      let skew: UInt64 = random.next() % 5 == 0 ? 200 : 20
      let count = isLast ? pagesLeft : min(Int(random.next() % skew), pagesLeft)
      rowsLeft -= rows
      pagesLeft -= count
      queries[r] = rows
      let fork = r > 0 ? Int(random.next() % 20) : 0
      pages[r] =
        Array(r > 0 ? pages[Int(random.next() % UInt64(r))].prefix(min(fork, count)) : [])
      while pages[r].count < count { pages[r].append(Int(random.next() % 1_000)) }
      lengths[r] = max(count * bounds.pageSize - Int(random.next() % UInt64(bounds.pageSize)), 0)
      if count == 0 { lengths[r] = 0 }
    }
    return try AttentionBatch(
      queries: RaggedIndex(lengths: queries),
      pages: PageTable(
        requests: zip(pages, lengths).map { (pages: $0, kvLength: $1) }, pageSize: bounds.pageSize))
  }

  @Test(arguments: [1, 2, 16, 264], [false, true])
  func pointersAndWorkersStay(workers: Int, isInvariant: Bool) throws {
    let device = try CPUDevice(threads: 1)
    var random = Random(UInt64(workers))
    let bounds = AttentionBounds(requests: 20, queryRows: 300, pages: 700, sharedRows: 30)
    let plan = try AttentionPlan(
      device: device, shape: shape, workers: workers, isBatchInvariant: isInvariant,
      bounds: bounds)
    let addresses = plan.addresses
    let size = plan.workspaceSize
    #expect(
      try size
        == AttentionPlan.workspaceSize(
          for: bounds, device: device, shape: shape, workers: workers,
          isBatchInvariant: isInvariant))
    for _ in 0..<200 {
      try plan.update(randomBatch(bounds, &random))
      #expect(plan.addresses == addresses)
      #expect(plan.workspaceSize == size && plan.workers == workers)
      #expect(
        plan.readTogether.reduce(0) { $0 + $1.requests.count } <= (isInvariant ? 0 : 30))
    }
  }

  @Test func exceedingABoundIsAnErrorThatNamesWhatIsNeeded() throws {
    typealias Failure = AttentionPlan.Failure
    let device = try CPUDevice(threads: 1)
    let bounds = AttentionBounds(requests: 2, queryRows: 4, pages: 6, pageSize: 16, sharedRows: 2)
    let plan = try AttentionPlan(device: device, shape: shape, bounds: bounds)
    let addresses = plan.addresses
    func expect(
      _ name: String, _ value: WritableKeyPath<AttentionBounds, Int>, needed: Int,
      queries: [Int], pages: [Int], pageSize: Int = 16, composition: Composition = .automatic
    ) throws {
      let batch = try AttentionBatch(
        queries: RaggedIndex(lengths: queries),
        pages: PageTable(
          requests: pages.map { (pages: Array(0..<$0), kvLength: $0 * pageSize) },
          pageSize: pageSize))
      var enough = bounds
      enough[keyPath: value] = needed
      let bytes = try plan.workspaceSize(for: enough)
      #expect(
        throws: Failure.bound(
          name, limit: bounds[keyPath: value], needed: needed, workspace: bytes)
      ) { try plan.update(batch, composition: composition) }
      let larger = try AttentionPlan(device: device, shape: shape, bounds: enough)
      #expect(larger.workspaceSize == bytes)
      try larger.update(batch, composition: composition)
      #expect(plan.addresses == addresses)
    }
    try expect("requests", \.requests, needed: 3, queries: [1, 1, 1], pages: [1, 1, 1])
    try expect("query rows", \.queryRows, needed: 5, queries: [4, 1], pages: [1, 1])
    try expect("pages", \.pages, needed: 7, queries: [1, 1], pages: [3, 4])
    try expect(
      "tokens of a page", \.pageSize, needed: 32, queries: [1], pages: [1], pageSize: 32)
    try expect(
      "shared rows", \.sharedRows, needed: 3, queries: [2, 1], pages: [2, 2],
      composition: .explicit([SharedRun(requests: [0, 1], keys: 0..<16)]))
    for huge in [Int.max, -1] {
      #expect(throws: Failure.tooLarge("bound on requests")) {
        try AttentionPlan(
          device: device, shape: shape,
          bounds: AttentionBounds(requests: huge, queryRows: 1, pages: 1, sharedRows: 0))
      }
    }
  }

  /// A plan with bounds computes what one without does.
  @Test func boundsDoNotChangeTheBits() throws {
    let device = try CPUDevice(threads: 2)
    var scenario = Scenario()
    scenario.lengths = [(1, 2_500), (2, 2_480), (40, 77)]
    scenario.parts = [[(1, 2_400)], [(1, 2_400)]]
    let material = try Scenario.Material(scenario, device)
    let bounds = AttentionBounds(requests: 3, queryRows: 43, pages: 400)
    let fixed = try AttentionPlan(
      device: device, shape: scenario.shape, batch: material.batch, workers: 5, bounds: bounds)
    let growing = try AttentionPlan(
      device: device, shape: scenario.shape, batch: material.batch, workers: 5)
    #expect(fixed.readTogether.count == 1 && growing.readTogether.count == 1)
    let a = try scenario.run(material, fixed)
    let b = try scenario.run(material, growing)
    #expect(a.output.map(\.bitPattern) == b.output.map(\.bitPattern))
    #expect(try scenario.error(a, material, stored: true).output <= 1e-5)
  }

  /// How often each worker has allocated so far.
  private func allocations(_ device: CPUDevice) -> [Int] {
    let counts = UnsafeMutableBufferPointer<Int>.allocate(capacity: device.pool.count)
    defer { counts.deallocate() }
    device.pool.forkJoin { counts[$0] = allocation_count() }
    return Array(counts)
  }

  /// `run` allocates nothing on any thread, and neither does `update` within bounds.
  @Test(arguments: [1, 2, 3])
  func runsAllocateNothing(threads: Int) throws {
    let device = try CPUDevice(threads: threads)
    let before = allocation_count()
    let memory = UnsafeMutablePointer<Int>.allocate(capacity: 100)
    memory.deallocate()
    try #require(allocation_count() > before, "the counter counts")

    var scenario = Scenario()
    scenario.lengths = [(1, 2_700), (2, 2_680), (40, 77), (1, 5_000)]
    scenario.parts = [[(1, 2_400)], [(1, 2_400)]]
    // Bounds, a mask beyond them, logits with scalars and a per-head vector.
    scenario.variant = AttentionVariant.causal.combined(with: .alibi(heads: 4))
      .combined(with: .softCap(3)).combined(
        with: AttentionVariant("odd") { v in
          v.mask { at in at.kv - 3 * floor(at.kv / 3) < 2 }
        })
    let material = try Scenario.Material(scenario, device)
    let bounds = AttentionBounds(requests: 4, queryRows: 100, pages: 1_000)
    let plan = try AttentionPlan(
      device: device, shape: scenario.shape, variant: scenario.variant, batch: material.batch,
      workers: 7, bounds: bounds)
    #expect(plan.readTogether.count == 1 && !plan.schedule.allMerges.isEmpty)
    let tokens = material.batch.queries.total
    let output = AlignedBuffer(byteCount: tokens * 256 * 4)
    let lse = AlignedBuffer(byteCount: tokens * 4 * 4)
    let queries = try material.queryView(scenario.shape)
    let outputView = MatrixView(
      try #require(output.elements(Float.self).baseAddress), rows: tokens, columns: 256)
    let lseView = MatrixView(
      try #require(lse.elements(Float.self).baseAddress), rows: tokens, columns: 4)
    func run() throws {
      try plan.run(
        queries: queries, cache: material.cache, output: outputView, lse: .base2(lseView))
    }
    try run()
    let first = allocations(device)
    let second = allocations(device)
    for _ in 0..<10 { try run() }
    let third = allocations(device)
    // Counting itself allocates, the same each time.
    #expect(zip(third, second).map { $0 - $1 } == zip(second, first).map { $0 - $1 })

    let start = allocation_count()
    for _ in 0..<10 { try plan.update(material.batch) }
    #expect(allocation_count() == start)
  }
}
