import Attention
import Devices
import Glibc
import Tensors
import Testing

/// The backward pass against the oracle in Double.
@Suite(.serialized) struct GradientTests {
  /// Variants of every kind for a number of heads, at most 8.
  private static func variants(heads: Int) -> [AttentionVariant] {
    [
      .full, .causal, .causal.combined(with: .slidingWindow(left: 5)),
      .causal.combined(with: .softCap(1.5)),
      .alibi(slopes: Array([0.5, 0.25, -0.25, 0.125, 1, 2, 0, 0.75].prefix(heads))),
      AttentionVariant("documents", scale: 0.3) { v in
        v.mask { at in floor(at.kv / 5) .== floor(at.query / 5) }
      },
      AttentionVariant("everything") { v in
        let a = v.parameter("a", default: 0.5)
        let b = v.perHead("b", Array([1, 2, -1, 0.5, 0.25, -0.5, 1.5, 3].prefix(heads)))
        v.logits { s, at in
          a * sigmoid(b * s) - log(1 + exp(-a * s)) + max(s, b) * select(at.kv > 3, a, 2 * s)
        }
        v.mask { at in at.kv <= at.query + 2 && (at.kv + at.query) / 2 > floor(at.kv / 3) }
      },
      .causal.combined(with: .sink(logits: Array([1, -2, 0.5, 0, 3, -1, 2, 4].prefix(heads)))),
      .causal.combined(with: .sigmoid(bias: -2)),
      AttentionVariant("first keys and a window") { v in
        v.logits { s, _ in exp(s / 4) }
        v.mask { at in at.kv < 2 || at.query - at.kv < 6 && at.kv <= at.query }
      },
      .causal.combined(with: .rope(.interleaved, base: 100)),
      AttentionVariant("vectors") { v in
        let a = v.parameter("a", default: 0.5)
        let b = v.perHead("b", Array([1, 2, -1, 0.5, 0.25, -0.5, 1.5, 3].prefix(heads)))
        v.query { x, at in x.own * a + tanh(x.neighbour * b) / 4 - sin(at.dimension * a) / 8 }
        v.query { x, at in x.own + x.opposite * cos(at.query) }
        v.key { x, at in sigmoid(x.own * a) * x.opposite(of: 6) + cos(at.kv * a + at.kvHead) / 4 }
        v.value { x, at in x.neighbour * x.own + a * sin(at.kv) }
        v.logits { s, _ in s * a }
        v.sink { _ in a }
        v.output { x, at in tanh(x.own * b) + x.neighbour * at.queryHead / 8 }
        v.output { x, _ in x.own * x.own + x.opposite * a }
        v.mask { at in at.kv <= at.query && !(at.query .== 3) }
      },
      AttentionVariant("sums of vectors") { v in
        let a = v.parameter("a", default: 0.5)
        v.usesSoftmax = false
        v.value { x, _ in exp(x.own * a) }
        v.output { x, _ in x.own - x.neighbour * a }
        v.mask { at in at.kv <= at.query }
      },
    ]
  }

  private func check(
    _ scenario: GradientScenario, _ device: CPUDevice, limit: Double = 1e-5
  ) throws {
    let material = try GradientScenario.Material(scenario)
    let result = try scenario.run(material, device)
    let error = scenario.error(result, scenario.exact(material))
    #expect(error <= limit, "\(scenario): \(error)")
  }

  /// Every variant, at odd sizes, groups and lengths.
  @Test(arguments: [(40, 1), (64, 3), (80, 8), (96, 1), (128, 3), (1, 2), (17, 4)])
  func followsTheOracle(dimension: Int, group: Int) throws {
    let device = try CPUDevice(threads: 2)
    let heads = group < 4 ? 2 * group : group
    for (number, variant) in Self.variants(heads: heads).enumerated() {
      var scenario = GradientScenario()
      scenario.shape = AttentionShape(
        queryHeads: heads, kvHeads: heads / group, headDimension: dimension,
        valueDimension: number % 2 == 0 ? nil : dimension + 24)
      scenario.variant = variant
      scenario.lengths = [(7, 7), (1, 19), (0, 4), (3, 0), (0, 0), (20, 33), (9, 4)]
      scenario.usesLSE = number % 3 != 0
      scenario.seed = UInt64(dimension + number)
      try check(scenario, device)
    }
  }

  /// Several tiles of rows and keys, and keys that were cut into parts.
  @Test(
    arguments: [
      (1, 1, 24, 333, 333), (3, 1, 64, 50, 333), (2, 1, 24, 333, 7), (1, 1, 24, 11, 1000),
      (8, 1, 128, 2, 1600), (1, 2, 40, 96, 96), (1, 1, 16, 97, 193),
    ])
  func longRequests(group: Int, kvHeads: Int, dimension: Int, query: Int, kv: Int) throws {
    let device = try CPUDevice(threads: 2)
    for number in [0, 1, 3, 5, 9] {
      var scenario = GradientScenario()
      scenario.shape = AttentionShape(
        queryHeads: group * kvHeads, kvHeads: kvHeads, headDimension: dimension)
      scenario.variant = Self.variants(heads: group * kvHeads)[number]
      scenario.lengths = [(query, kv)]
      try check(scenario, device)
    }
  }

  /// Shapes, lengths and variants by chance; groups beyond a tile's rows among them.
  @Test func randomCases() throws {
    let device = try CPUDevice(threads: 2)
    var random = Random(11)
    for seed in 0..<150 {
      let group = [1, 2, 3, 5, 8].randomElement(using: &random) ?? 1
      let kvHeads = group > 4 ? 1 : Int.random(in: 1...2, using: &random)
      var scenario = GradientScenario()
      scenario.shape = AttentionShape(
        queryHeads: group * kvHeads, kvHeads: kvHeads,
        headDimension: Int.random(in: 1...70, using: &random),
        valueDimension: Int.random(in: 1...70, using: &random))
      scenario.variant =
        Self.variants(heads: group * kvHeads).randomElement(using: &random) ?? .causal
      scenario.lengths = (0..<Int.random(in: 1...3, using: &random)).map { _ in
        (Int.random(in: 0...30, using: &random), Int.random(in: 0...60, using: &random))
      }
      scenario.usesLSE = seed % 2 == 0
      scenario.seed = UInt64(seed)
      // Squares of scores reach logits of a hundred, which 32 bits know to 1e-5.
      try check(scenario, device, limit: scenario.variant.name == "everything" ? 5e-5 : 1e-5)
    }
    var wide = GradientScenario()
    wide.shape = AttentionShape(queryHeads: 70, kvHeads: 1, headDimension: 9)
    wide.lengths = [(3, 20), (1, 1)]
    try check(wide, device)
  }

  @Test(arguments: InstructionSet.available)
  func everyLevel(level: InstructionSet) throws {
    let device = try CPUDevice(threads: 1, instructionSet: level)
    for (number, dimension) in [(1, 40), (3, 64), (6, 80), (7, 24), (8, 24)] {
      var scenario = GradientScenario()
      scenario.shape = AttentionShape(
        queryHeads: 3, kvHeads: 1, headDimension: dimension, valueDimension: 56)
      scenario.variant = Self.variants(heads: 3)[number]
      scenario.lengths = [(41, 101), (5, 5)]
      try check(scenario, device)
    }
  }

  /// Tensor parameters and custom masks, which have no gradient of their own.
  @Test func tensorsAndMasks() throws {
    let device = try CPUDevice(threads: 2)
    var random = Random(3)
    var scenario = GradientScenario()
    scenario.lengths = [(7, 7), (0, 4), (5, 230), (60, 61)]
    let keys = scenario.lengths.map(\.kv).reduce(0, +)
    let batch = try AttentionBatch(
      queries: RaggedIndex(lengths: scenario.lengths.map(\.query)),
      pages: PageTable(raggedLengths: scenario.lengths.map(\.kv), pageSize: 16))
    var tensors = VariantTensors()
    tensors["document"] = (0..<keys).map { Float($0 / 9) }
    tensors["weight"] = (0..<keys * 2).map { _ in random.float() }
    tensors[mask: "custom-mask"] = VariantTensors.packing(batch) { r, i, kv in
      (r + i + kv) % 3 != 0
    }
    scenario.tensors = tensors
    let weighted = AttentionVariant("weighted") { v in
      let weight = v.perToken("weight", heads: .kv)
      let slope = v.perHead("slope", [1, 0.5, 2, -1])
      v.logits { s, _ in s * weight.ofKey + slope * tanh(s) }
    }
    let scaled = AttentionVariant("scaled") { v in
      let weight = v.perToken("weight", heads: .kv)
      v.key { x, _ in x.own * weight.ofKey }
      v.value { x, _ in x.own + weight.ofKey * x.neighbour }
      v.output { x, _ in x.own * weight.ofQuery }
    }
    for variant in [
      AttentionVariant.causal.combined(with: .documentMask), .customMask,
      weighted.combined(with: .customMask), scaled.combined(with: .causal),
    ] {
      scenario.variant = variant
      // Tensors are given by name: those that a variant does not have are refused.
      let names = variant.declarations.tensors.map(\.name) + variant.declarations.masks.map(\.name)
      var own = VariantTensors()
      for name in names { own[name] = tensors[name] }
      for name in names { own[mask: name] = tensors[mask: name] }
      scenario.tensors = own
      try check(scenario, device)
    }
  }

  /// A log-sum-exp where there is none or none is given, and functors that mean nothing.
  @Test func whatHasNoGradientIsRefused() throws {
    typealias Failure = DifferentiableAttention.Failure
    let device = try CPUDevice(threads: 1)
    let shape = AttentionShape(queryHeads: 1, kvHeads: 1, headDimension: 8)
    #expect {
      try DifferentiableAttention(
        device: device, shape: shape,
        variant: AttentionVariant("doubled") { v in v.key { x, at in x.own * at.query } })
    } throws: { error in
      guard case .plan(.variant(.misplaced))? = error as? Failure else { return false }
      return true
    }
    let row = GradientScenario.Tensor(1, 8) { 0 }.view
    let lse = GradientScenario.Tensor(1, 1) { 0 }.view
    for variant in [AttentionVariant.causal, .sigmoid(bias: 0)] {
      let attention = try DifferentiableAttention(device: device, shape: shape, variant: variant)
      try attention.update(queries: RaggedIndex(lengths: [1]), keys: RaggedIndex(lengths: [1]))
      #expect(throws: Failure.logSumExp(variant.name, isNeeded: variant.usesSoftmax)) {
        try attention.forward(
          queries: row, keys: row, values: row, output: row, lse: variant.usesSoftmax ? nil : lse)
      }
    }
    let masked = try DifferentiableAttention(device: device, shape: shape, variant: .customMask)
    try masked.update(queries: RaggedIndex(lengths: [1]), keys: RaggedIndex(lengths: [1]))
    #expect(throws: Failure.plan(.variant(.unbound("custom-mask")))) {
      try masked.backward(
        queries: row, keys: row, values: row, output: row, lse: lse, outputGradient: row,
        queryGradient: row, keyGradient: row, valueGradient: row)
    }
  }

  /// A query that sees nothing, and a key that nobody sees, have gradients of exactly 0.
  @Test func whatIsMaskedHasNoGradient() throws {
    let device = try CPUDevice(threads: 2)
    var scenario = GradientScenario()
    scenario.variant = AttentionVariant("odd queries, early keys") { v in
      v.logits { s, _ in log(s) }  // NaN wherever the score is negative
      v.mask { at in at.query - 2 * floor(at.query / 2) > 0.5 && at.kv < 20 && at.kv > 1000 }
    }
    scenario.lengths = [(30, 50), (4, 2)]
    let material = try GradientScenario.Material(scenario)
    let result = try scenario.run(material, device)
    for tensor in [result.queryGradient, result.keyGradient, result.valueGradient] {
      #expect(tensor.values.allSatisfy { $0 == 0 })
    }
    #expect(result.lse.values.allSatisfy { $0 == -.infinity })

    scenario.variant = AttentionVariant("odd queries, early keys") { v in
      v.logits { s, _ in exp(s) }
      v.mask { at in at.query - 2 * floor(at.query / 2) > 0.5 && at.kv < 20 }
    }
    let seen = try scenario.run(material, device)
    let queryColumns = seen.queryGradient.view.columns
    for i in 0..<30 {
      // Query i stands at 20 + i: the even ones see nothing.
      let row = seen.queryGradient.values[i * queryColumns..<(i + 1) * queryColumns]
      #expect(row.allSatisfy { $0 == 0 } == (i % 2 == 0))
    }
    let keyColumns = seen.keyGradient.view.columns
    #expect(seen.keyGradient.values[20 * keyColumns..<50 * keyColumns].allSatisfy { $0 == 0 })
    #expect(seen.keyGradient.values[..<(20 * keyColumns)].contains { $0 != 0 })
    #expect(scenario.error(seen, scenario.exact(material)) <= 1e-5)
  }

  /// What the caller makes of it does not reach other rows: NaN stays in its own request.
  @Test func strangersStayOutside() throws {
    let device = try CPUDevice(threads: 2)
    var scenario = GradientScenario()
    scenario.lengths = [(9, 9), (5, 12), (8, 8)]
    let material = try GradientScenario.Material(scenario)
    let clean = try scenario.run(material, device)
    for row in material.keyRows[1] { material.keys.view.row(row)[3] = .nan }
    let dirty = try scenario.run(material, device)
    for r in [0, 2] {
      for row in material.keyRows[r] {
        for c in 0..<clean.keyGradient.view.columns {
          #expect(clean.keyGradient.view.row(row)[c] == dirty.keyGradient.view.row(row)[c])
        }
      }
    }
    #expect(dirty.queryGradient.view.row(material.queryRows[1].lowerBound)[0].isNaN)
  }

  /// Long prompts' keys are copied, short ones' are read where they lie, by one plan in turn.
  @Test func copiedAndBorrowedKeysAreOne() throws {
    let device = try CPUDevice(threads: 2)
    var scenario = GradientScenario()
    let attention = try DifferentiableAttention(device: device, shape: scenario.shape, workers: 2)
    for lengths in [[(20, 20), (3, 9)], [(400, 410)], [(7, 7), (0, 4), (64, 64)], [(300, 301)]] {
      scenario.lengths = lengths
      let material = try GradientScenario.Material(scenario)
      try attention.update(queries: material.queryRows, keys: material.keyRows)
      let result = try scenario.run(material, attention)
      #expect(scenario.error(result, scenario.exact(material)) <= 1e-5)
    }
  }

  @Test func bitsDoNotDependOnThreads() throws {
    var scenario = GradientScenario()
    scenario.shape = AttentionShape(queryHeads: 4, kvHeads: 2, headDimension: 40)
    scenario.variant = Self.variants(heads: 4)[6]
    scenario.lengths = [(60, 900), (100, 100), (0, 8), (1, 1200)]
    let material = try GradientScenario.Material(scenario)
    var first: [UInt64]?
    for threads in [1, 2, 3] {
      let device = try CPUDevice(threads: threads)
      let attention = try DifferentiableAttention(
        device: device, shape: scenario.shape, variant: scenario.variant, workers: 3)
      for _ in 0..<2 {
        try attention.update(queries: material.queryRows, keys: material.keyRows)
        let bits = try scenario.run(material, attention).bits
        #expect(first == nil || first == bits)
        first = bits
      }
    }
  }

  /// Planned again for another batch, attention gives what fresh attention gives.
  @Test func aReusedPlanGivesTheBitsOfAFreshOne() throws {
    let device = try CPUDevice(threads: 2)
    var scenario = GradientScenario()
    let attention = try DifferentiableAttention(device: device, shape: scenario.shape, workers: 2)
    for lengths in [[(3, 3)], [(100, 850), (7, 7)], [], [(0, 0)], [(20, 21), (5, 5)]] {
      scenario.lengths = lengths
      let material = try GradientScenario.Material(scenario)
      try attention.update(queries: material.queryRows, keys: material.keyRows)
      let fresh = try scenario.run(material, device)
      #expect(try scenario.run(material, attention).bits == fresh.bits)
    }
  }

  @Test func parametersAreOptional() throws {
    let device = try CPUDevice(threads: 1)
    var scenario = GradientScenario()
    scenario.variant = .softCap(2).combined(with: .slidingWindow(left: 3))
    scenario.lengths = [(9, 9)]
    let material = try GradientScenario.Material(scenario)
    let whole = try scenario.run(material, device)
    #expect(whole.parameters.scalar("cap") != 0)
    #expect(whole.parameters.scalar("window-left") == 0)
    #expect(whole.parameters.scalar("slopes") == nil)
    #expect(whole.parameters.perHead("cap") == nil)
    let attention = try DifferentiableAttention(
      device: device, shape: scenario.shape, variant: scenario.variant,
      differentiatesParameters: false, workers: 2)
    try attention.update(queries: material.queryRows, keys: material.keyRows)
    var without = try scenario.run(material, attention)
    #expect(without.parameters.scalar("cap") == 0)
    without.parameters = whole.parameters
    #expect(without.bits == whole.bits)
  }

  @Test func wrongShapesAreRefused() throws {
    typealias Failure = DifferentiableAttention.Failure
    let device = try CPUDevice(threads: 1)
    let shape = AttentionShape(queryHeads: 4, kvHeads: 2, headDimension: 8)
    #expect(throws: Failure.plan(.heads(query: 4, kv: 3))) {
      try DifferentiableAttention(
        device: device, shape: AttentionShape(queryHeads: 4, kvHeads: 3, headDimension: 8))
    }
    let attention = try DifferentiableAttention(device: device, shape: shape)
    #expect(throws: Failure.requests(queries: 2, keys: 1)) {
      try attention.update(
        queries: RaggedIndex(lengths: [1, 2]), keys: RaggedIndex(lengths: [3]))
    }
    try attention.update(queries: RaggedIndex(lengths: [5]), keys: RaggedIndex(lengths: [5]))
    func tensor(_ rows: Int, _ columns: Int) -> GradientScenario.Tensor {
      GradientScenario.Tensor(rows, columns) { 0 }
    }
    let (wide, narrow, lse) = (tensor(5, 32), tensor(5, 16), tensor(5, 4))
    let short = tensor(4, 32)
    #expect(throws: Failure.matrix("keys", expected: [5, 16], found: [5, 32])) {
      try attention.forward(
        queries: wide.view, keys: wide.view, values: narrow.view, output: wide.view, lse: lse.view)
    }
    #expect(throws: Failure.matrix("output gradient", expected: [5, 32], found: [4, 32])) {
      try attention.backward(
        queries: wide.view, keys: narrow.view, values: narrow.view, output: wide.view,
        lse: lse.view, outputGradient: short.view, queryGradient: wide.view,
        keyGradient: narrow.view, valueGradient: narrow.view)
    }
    #expect(throws: Failure.matrix("value gradient", expected: [5, 16], found: [5, 32])) {
      try attention.backward(
        queries: wide.view, keys: narrow.view, values: narrow.view, output: wide.view,
        lse: lse.view, outputGradient: wide.view, queryGradient: wide.view,
        keyGradient: narrow.view, valueGradient: wide.view)
    }
  }
}
