import Attention
import Devices
import Tensors
import Testing

/// Keys read together against every request for itself, and both against the oracle.
@Suite struct CompositionTests {
  /// Three levels of shared parts, a second tree, a request of its own, empty ones, several queries.
  private func tree(_ pageSize: Int) -> Scenario {
    var scenario = Scenario()
    scenario.pageSize = pageSize
    scenario.lengths = [
      (1, 700), (3, 600), (1, 480), (0, 400), (2, 401), (1, 333), (1, 290), (5, 97), (1, 0),
      (1, 288),
    ]
    let a = (name: 1, tokens: 96)
    let (b, c) = ((name: 2, tokens: 192), (name: 3, tokens: 288))
    scenario.parts = [[a, b, c], [a, b, c], [a, b], [a, b], [a], [a], [c], [], [], [c]]
    return scenario
  }

  /// The tree's runs, all of them.
  private let runs = [
    SharedRun(requests: [0, 1, 2, 3, 4, 5], keys: 0..<96),
    SharedRun(requests: [0, 1, 2, 3], keys: 96..<288),
    SharedRun(requests: [0, 1], keys: 288..<576),
    SharedRun(requests: [6, 9], keys: 0..<288),
  ]

  private static var variants: [AttentionVariant] {
    [
      .causal, .causal.combined(with: .slidingWindow(left: 150)),
      .causal.combined(with: .slidingWindow(left: 20)),
      .causal.combined(with: .softCap(0.7)), .causal.combined(with: .alibi(heads: 4)),
      AttentionVariant("whatever a row can know") { v in
        v.logits { s, at in s + at.kv / (1 + at.kvLength) - at.request * at.queryLength / 8 }
        v.mask { at in
          let last = at.kv - 5 * floor(at.kv / 5)
          let turn = at.request + at.query - 5 * floor((at.request + at.query) / 5)
          return at.kv <= at.query && (last < turn || at.kv > at.kvLength - 40)
        }
      },
    ]
  }

  @Test(arguments: [1, 3, 16, 32], 0..<variants.count)
  func composedAndSingleFormatsAgree(pageSize: Int, variant: Int) throws {
    let device = try CPUDevice(threads: 2)
    for (dimension, type, workers) in [
      (64, ElementType.float32, 2), (40, .bfloat16, 1), (33, .float16, 16), (64, .bfloat16, 5),
    ] {
      var scenario = tree(pageSize)
      scenario.shape = AttentionShape(queryHeads: 4, kvHeads: 2, headDimension: dimension)
      scenario.variant = Self.variants[variant]
      scenario.elementType = type
      let material = try Scenario.Material(scenario, device)
      let plan = try AttentionPlan(
        device: device, shape: scenario.shape, variant: scenario.variant, workers: workers)
      for composition in [Composition.off, .explicit(runs), .automatic] {
        try plan.update(material.batch, composition: composition)
        let result = try scenario.run(material, plan)
        let error = try scenario.error(result, material, stored: true)
        #expect(
          error.output <= material.limit && error.lse <= 1e-5, "\(composition): \(error)")
      }
    }
  }

  @Test(arguments: [1, 3, 16, 32])
  func sharedRunsAreFound(pageSize: Int) throws {
    let device = try CPUDevice(threads: 1)
    // The tree, twenty times as long: every run then pays.
    var next = 0
    var shared: [[Int]: [Int]] = [:]
    func pages(_ tokens: Int) -> [Int] {
      next += (tokens * 20 + pageSize - 1) / pageSize
      return Array(next - (tokens * 20 + pageSize - 1) / pageSize..<next)
    }
    let tree = tree(pageSize)
    let requests = zip(tree.lengths, tree.parts).map { length, parts in
      var (own, path, list) = (length.kv, [Int](), [Int]())
      for part in parts {
        path.append(part.name)
        let found = shared[path] ?? pages(part.tokens)
        shared[path] = found
        list += found
        own -= part.tokens
      }
      return (pages: list + pages(own), kvLength: length.kv * 20)
    }
    let batch = try AttentionBatch(
      queries: RaggedIndex(lengths: tree.lengths.map(\.query)),
      pages: PageTable(requests: requests, pageSize: pageSize))
    let plan = try AttentionPlan(device: device, shape: tree.shape, batch: batch)
    // Request 3 has no queries, and so no part in anything.
    #expect(
      Set(plan.readTogether.map { SharedRun(requests: $0.requests.sorted(), keys: $0.keys) })
        == [
          SharedRun(requests: [0, 1, 2, 4, 5], keys: 0..<1_920),
          SharedRun(requests: [0, 1, 2], keys: 1_920..<5_760),
          SharedRun(requests: [0, 1], keys: 5_760..<11_520),
          SharedRun(requests: [6, 9], keys: 0..<5_760),
        ])
    try plan.update(batch, composition: .off)
    #expect(plan.readTogether.isEmpty)
  }

  /// A window reads of a shared part only what it sees; requests that see nothing stay out.
  @Test func windowsKeepTheirPartOfARun() throws {
    let device = try CPUDevice(threads: 1)
    var scenario = Scenario()
    scenario.lengths = [(1, 1_040), (1, 1_050), (1, 1_060), (1, 5_000)]
    scenario.parts = Array(repeating: [(name: 1, tokens: 1_024)], count: 4)
    scenario.variant = .causal.combined(with: .slidingWindow(left: 600))
    let material = try Scenario.Material(scenario, device)
    let plan = try AttentionPlan(
      device: device, shape: scenario.shape, variant: scenario.variant, batch: material.batch)
    #expect(plan.readTogether == [SharedRun(requests: [0, 1, 2], keys: 0..<1_024)])
    let together = plan.schedule.allTiles.filter { $0.rowCount == 6 }
    #expect(together.map(\.kvFirst) == [432] && together.map(\.kvEnd) == [1_024])
    let result = try scenario.run(material, plan)
    let error = try scenario.error(result, material, stored: true)
    #expect(error.output <= 1e-5 && error.lse <= 1e-5)
  }

  @Test func sharingThatDoesNotPayIsLeft() throws {
    let device = try CPUDevice(threads: 1)
    var scenario = Scenario()
    // A page in common saves less than a merge costs.
    scenario.lengths = [(1, 100), (1, 100)]
    scenario.parts = Array(repeating: [(name: 1, tokens: 16)], count: 2)
    var material = try Scenario.Material(scenario, device)
    var plan = try AttentionPlan(device: device, shape: scenario.shape, batch: material.batch)
    #expect(plan.readTogether.isEmpty)
    // Prefill fills its tiles alone: nothing is read less often.
    scenario.lengths = [(256, 2_304), (256, 2_304)]
    scenario.parts = Array(repeating: [(name: 1, tokens: 2_048)], count: 2)
    material = try Scenario.Material(scenario, device)
    plan = try AttentionPlan(device: device, shape: scenario.shape, batch: material.batch)
    #expect(plan.readTogether.isEmpty)
  }

  /// Every run that requests share, found the slow way.
  private func allRuns(_ batch: AttentionBatch) -> [SharedRun] {
    let size = batch.pages.pageSize
    func page(_ r: Int, _ i: Int) -> Int32? {
      guard i < Int(batch.pages.kvLengths[r]) / size else { return nil }
      return Array(batch.pages.pages(of: r))[i]
    }
    func grow(_ requests: [Int], from start: Int) -> [SharedRun] {
      var end = start
      while Set(requests.map { page($0, end) }).count == 1, page(requests[0], end) != nil {
        end += 1
      }
      let run = SharedRun(requests: requests, keys: start * size..<end * size)
      let next = Dictionary(grouping: requests) { page($0, end) }
      return (end > start ? [run] : [])
        + next.filter { $0.key != nil && $0.value.count > 1 }.values.flatMap {
          grow($0, from: end)
        }
    }
    return batch.requestCount == 0 ? [] : grow(Array(0..<batch.requestCount), from: 0)
  }

  /// Random trees: whatever is found is right, and all that could be found gives the single format's
  /// numbers.
  @Test(arguments: 0..<60)
  func randomTrees(seed: Int) throws {
    let device = try CPUDevice(threads: 2)
    var random = Random(UInt64(seed) + 77)
    var scenario = Scenario()
    let group = [1, 3, 40, 130][seed % 4]
    scenario.shape = AttentionShape(
      queryHeads: 2 * group, kvHeads: 2, headDimension: 8, valueDimension: 12)
    scenario.pageSize = [1, 2, 16][seed % 3]
    scenario.seed = UInt64(seed)
    scenario.lengths = []
    for _ in 0..<Int(2 + random.next() % 12) {
      var path: [(name: Int, tokens: Int)] = []
      while random.next() % 4 != 0, path.count < 5 {
        // A part's name says its length, so that equal paths are equal parts.
        let name = Int(random.next() % 3)
        path.append((name, 64 * (1 + name)))
      }
      let tokens = path.reduce(0) { $0 + $1.tokens } + Int(random.next() % 90)
      scenario.parts.append(path)
      scenario.lengths.append((Int(random.next() % 4) * Int(random.next() % 3), tokens))
    }
    let material = try Scenario.Material(scenario, device)
    let workers = [1, 2, 7, 64][Int(random.next() % 4)]
    let plan = try AttentionPlan(
      device: device, shape: scenario.shape, batch: material.batch, workers: workers)
    check(plan.readTogether, material.batch)
    let runs = allRuns(material.batch)
    try plan.update(material.batch, composition: .explicit(runs))
    #expect(plan.readTogether.count <= runs.count)
    let composed = try scenario.run(material, plan)
    try plan.update(material.batch, composition: .off)
    let single = try scenario.run(material, plan)
    for (a, b) in zip(composed.output, single.output) where !(a.isNaN && b.isNaN) {
      #expect(abs(a - b) <= 1e-5)
    }
    for (a, b) in zip(composed.lse, single.lse) where !(a.isNaN && b.isNaN) {
      #expect(a == b || abs(a - b) <= 1e-5 * (1 + abs(b)))
    }
    if material.batch.queries.total > 0 { #expect(composed.output.allSatisfy { !$0.isNaN }) }
    let error = try scenario.error(composed, material, stored: true, sample: 11)
    #expect(error.output <= 1e-5 && error.lse <= 1e-5)
  }

  private func check(_ runs: [SharedRun], _ batch: AttentionBatch) {
    var ends = [Int](repeating: 0, count: batch.requestCount)
    for run in runs {
      #expect(run.requests.count > 1)
      let pages =
        run.keys.lowerBound / batch.pages.pageSize..<run.keys.upperBound
        / batch.pages.pageSize
      let lists = run.requests.map { r in
        pages.map {
          batch.pages.pages(of: r)[
            batch.pages.pages(of: r).startIndex + $0]
        }
      }
      #expect(Set(lists).count == 1)
      for r in run.requests {
        #expect(run.keys.lowerBound == ends[r])
        ends[r] = run.keys.upperBound
        #expect(run.keys.upperBound <= Int(batch.pages.kvLengths[r]))
      }
    }
  }

  /// A chain of ever longer common beginnings, deeper than any call stack.
  @Test func aDeepTree() throws {
    let device = try CPUDevice(threads: 1)
    let depth = 1_000
    let table = try PageTable(
      requests: (1...depth).map { (pages: Array(0..<$0), kvLength: $0) }, pageSize: 1)
    let batch = try AttentionBatch(
      queries: RaggedIndex(lengths: [Int](repeating: 1, count: depth)), pages: table)
    let plan = try AttentionPlan(
      device: device, shape: AttentionShape(queryHeads: 1, kvHeads: 1, headDimension: 2),
      batch: batch)
    check(plan.readTogether, batch)
    #expect(plan.readTogether.count > 5)
  }

  @Test func bitsDoNotDependOnThreads() throws {
    let scenario = tree(16)
    var first: Scenario.Result?
    for threads in [1, 2, 3] {
      let device = try CPUDevice(threads: threads)
      let material = try Scenario.Material(scenario, device)
      let plan = try AttentionPlan(
        device: device, shape: scenario.shape, batch: material.batch, workers: 5,
        composition: .explicit(runs))
      #expect(plan.readTogether.count == 4)
      for _ in 0..<3 {
        let result = try scenario.run(material, plan)
        if let first {
          #expect(result.output.map(\.bitPattern) == first.output.map(\.bitPattern))
          #expect(result.lse.map(\.bitPattern) == first.lse.map(\.bitPattern))
        } else {
          first = result
        }
      }
    }
  }

  @Test func wrongDecompositions() throws {
    typealias Invalid = SharedRun.Invalid
    let device = try CPUDevice(threads: 1)
    let scenario = tree(16)
    let material = try Scenario.Material(scenario, device)
    let plan = try AttentionPlan(device: device, shape: scenario.shape)
    func expect(_ invalid: Invalid, _ runs: [SharedRun]) {
      #expect(throws: AttentionPlan.Failure.composition(invalid)) {
        try plan.update(material.batch, composition: .explicit(runs))
      }
    }
    expect(
      .request(10, run: 0, requestCount: 10), [SharedRun(requests: [0, 10], keys: 0..<96)])
    expect(.request(-1, run: 0, requestCount: 10), [SharedRun(requests: [-1], keys: 0..<96)])
    expect(.requests(run: 0), [SharedRun(requests: [], keys: 0..<96)])
    expect(.requests(run: 0), [SharedRun(requests: [1, 1], keys: 0..<96)])
    for keys in [0..<40, 8..<96, 0..<0, -16..<16] {
      expect(
        .keys(keys, run: 0, request: 0, fullKeys: 688, pageSize: 16),
        [SharedRun(requests: [0, 1], keys: keys)])
    }
    expect(
      .keys(0..<112, run: 0, request: 7, fullKeys: 96, pageSize: 16),
      [SharedRun(requests: [7], keys: 0..<112)])
    expect(
      .gap(run: 1, request: 1, expected: 96, found: 112),
      [runs[0], SharedRun(requests: [1], keys: 112..<128)])
    expect(
      .gap(run: 1, request: 1, expected: 96, found: 80),
      [runs[0], SharedRun(requests: [1], keys: 80..<128)])
    expect(
      .pages(run: 0, requests: [0, 4], pageOfRequest: 6),
      [SharedRun(requests: [0, 4], keys: 0..<112)])
    // After an error there is no batch; the next one is planned as ever.
    #expect(plan.queryCount == 0)
    try plan.update(material.batch, composition: .explicit(runs))
    let result = try scenario.run(material, plan)
    #expect(try scenario.error(result, material, stored: true).output <= 1e-5)
  }
}
