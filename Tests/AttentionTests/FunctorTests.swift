import Attention
import Devices
import Tensors
import Testing

/// A variant with data for its tensors.
struct VariantCase: Sendable, CustomTestStringConvertible {
  var variant: AttentionVariant
  var tensors: (@Sendable (AttentionBatch, AttentionShape) -> VariantTensors)?

  init(
    _ variant: AttentionVariant,
    _ tensors: (@Sendable (AttentionBatch, AttentionShape) -> VariantTensors)? = nil
  ) {
    self.variant = variant
    self.tensors = tensors
  }

  var testDescription: String { variant.name }

  /// Random data for every tensor and mask that the variant declares.
  static func randomTensors(
    _ variant: AttentionVariant, _ batch: AttentionBatch, _ shape: AttentionShape
  )
    -> VariantTensors
  {
    var random = Random(5)
    var data = VariantTensors()
    for tensor in variant.declarations.tensors {
      let rows =
        switch tensor.rows {
        case .key, .query: batch.pages.kvLengths.reduce(0) { $0 + Int($1) }
        case .queryRow: batch.queries.total
        case .request: batch.requestCount
        case .only: 0
        }
      let heads =
        switch tensor.heads {
        case .none: 1
        case .query: shape.queryHeads
        case .kv: shape.kvHeads
        }
      data[tensor.name] = (0..<rows * heads).map { _ in 0.75 + random.float() / 2 }
      if tensor.rows == .only { data[tensor.name] = nil }
    }
    for mask in variant.declarations.masks {
      var bits = Random(9)
      data[mask: mask.name] = VariantTensors.packing(batch) { _, i, kv in
        kv == 0 || bits.next() % 3 != 0 && (i + kv / 40) % 3 != 1
      }
    }
    return data
  }

  func data(_ batch: AttentionBatch, _ shape: AttentionShape) -> VariantTensors {
    tensors?(batch, shape) ?? Self.randomTensors(variant, batch, shape)
  }
}

/// Functors, parameters and built-in variants on every path against the interpreter in Double.
@Suite struct FunctorTests {
  static let causal = AttentionVariant.causal

  static let cases: [VariantCase] = [
    VariantCase(.rope().combined(with: causal)),
    VariantCase(.rope(.interleaved, base: 500).combined(with: causal)),
    VariantCase(.rope(scaling: .llama3(originalContext: 256)).combined(with: causal)),
    VariantCase(.rope(scaling: .yarn(factor: 4, originalContext: 64)).combined(with: causal)),
    VariantCase(.rope(.interleaved, scaling: .linear(factor: 3)).combined(with: causal)),
    VariantCase(.streaming(sinks: 4, window: 60)),
    VariantCase(.streaming(sinks: 4, window: 60, pairing: .interleaved, base: 100)),
    // Pairs among the first elements alone, an odd number apart; heads that turn differently.
    VariantCase(
      AttentionVariant("rope of some") { v in
        v.key { x, at in
          let (isFirst, other) = (at.dimension < 15, x.opposite(of: 30))
          let pair = at.dimension - select(isFirst, 0, 15)
          let angle = at.kv * (1 + at.kvHead) * pow(0.9, pair)
          let turned =
            x.own * cos(angle) - select(isFirst, other * sin(angle), -other * sin(angle))
          return select(at.dimension < 30, turned, x.own * 0.5)
        }
        v.mask { at in at.kv <= at.query }
      }),
    // Nearly turns: pairs stretched, sheared, and scaled within themselves.
    VariantCase(
      AttentionVariant("no turns") { v in
        v.key { x, at in x.own * cos(at.kv * 0.1) + x.neighbour * sin(at.kv * 0.1) }
        v.key { x, at in x.own * cos(at.kv * at.dimension) - x.opposite * sin(at.kv + 1) }
        v.key { x, at in
          at.dimension / 64 * x.own.turned(by: at.kv * 0.2, with: x.neighbour, at)
        }
        v.mask { at in at.kv <= at.query }
      }),
    // Quotients of whole numbers, of which the last bit decides.
    VariantCase(
      AttentionVariant("every third key") { v in
        v.logits { s, at in s - abs(at.kv - at.query) / 7 + floor(at.kv / 10) / 3 }
        v.mask { at in
          let distance = at.query - at.kv
          return at.kv <= at.query && floor(distance / 3) * 3 .== distance
        }
      }),
    VariantCase(causal.combined(with: .sink(logits: [0.5, -1, 2, 0, 30, -.infinity, 1, 3]))),
    VariantCase(.sigmoid(bias: -2)),
    VariantCase(causal.combined(with: .sigmoid(bias: -3)).combined(with: .slidingWindow(left: 19))),
    VariantCase(.customMask), VariantCase(.customMask.combined(with: causal)),
    VariantCase(.treeMask),
    VariantCase(causal.combined(with: .documentMask)) { batch, _ in
      var data = VariantTensors()
      data["document"] = batch.pages.kvLengths.flatMap { length in
        (0..<Int(length)).map { Float($0 * $0 / 4000) }
      }
      return data
    },
    VariantCase(causal.combined(with: .cacheScales)),
    VariantCase(.gemma(layer: 3, window: 32)), VariantCase(.gemma(layer: 5, window: 32)),
    VariantCase(.latent()),
    VariantCase(
      AttentionVariant("every functor") { v in
        let gain = v.perRequest("gain", heads: .query)
        let bias = v.perQuery("bias")
        let norm = v.perToken("norm", heads: .kv)
        let slope = v.perHead("slope", (0..<8).map { Float($0) / 8 - 0.3 })
        let open = v.nullablePerRequest("absent")
        let shift = v.nullableParameter("shift")
        v.query { x, at in x.own * gain + x.neighbour * 0.1 * cos(at.dimension) + bias }
        v.key { x, at in
          max(x.own, -x.opposite(of: 8)) * norm.ofKey - at.dimension / (at.dimensionCount + at.kv)
        }
        v.value { x, at in x.neighbour * sin(at.kv * at.dimension * 0.01) + x.own + at.kvHead }
        v.output { x, at in
          tanh(x.own + slope) + x.opposite * at.queryHead / 8 + at.dimension * at.query * 1e-3
        }
        v.logits { s, at in
          open.ifPresent({ s / $0 }, else: s * norm.ofKey + slope + shift.or(0.25) * norm.ofQuery)
        }
        v.mask { at in at.kv <= at.query || norm.ofKey > 1.1 }
      }),
    VariantCase(
      AttentionVariant("two positions") { v in
        v.query { x, at in x.own * cos(at.query * at.dimension * 0.1 + at.queryHead) }
        v.key { x, at in x.own * cos(at.kv * at.dimension * 0.1 - at.kvLength) }
        v.key { x, at in x.neighbour + x.own * cos((at.kv - 20) * at.dimension * 0.3) }
        v.output { x, at in x.own * pow(1.01, at.dimension) }
        v.output { x, at in x.neighbour * (at.kvLength - at.query) }
        v.mask { at in at.kv <= at.query }
      }),
    VariantCase(
      AttentionVariant("per dimension") { v in
        let gain = v.perDimension("gain", (0..<64).map { 1 + Float($0) / 64 })
        v.query { x, _ in x.own * gain }
        v.key { x, at in x.own + gain * cos(at.kv * gain) }
        v.mask { at in at.kv <= at.query }
      }),
    VariantCase(
      AttentionVariant("sums of squares") { v in
        v.usesSoftmax = false
        v.logits { s, _ in s * s }
        v.value { x, _ in x.own + 1 }
        v.output { x, _ in x.own / 100 }
        v.mask { at in at.kv <= at.query && at.query - at.kv < 50 }
      }),
  ]

  @Test(arguments: cases, InstructionSet.available)
  func functorsMeanWhatTheInterpreterSays(test: VariantCase, level: InstructionSet) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    for (pageSize, type) in [
      (16, ElementType.bfloat16), (3, .float16), (16, .float32), (1, .bfloat16),
    ] {
      var scenario = Scenario()
      scenario.shape = AttentionShape(queryHeads: 8, kvHeads: 2, headDimension: 64)
      scenario.variant = test.variant
      scenario.pageSize = pageSize
      scenario.elementType = type
      scenario.lengths = [(1, 70), (33, 60), (3, 300), (0, 9), (2, 1), (1, 150)]
      scenario.queryMagnitude = 2
      scenario.tensors = { test.data($0, scenario.shape) }
      try check(scenario, device, workers: [1, 7], sample: 7)
    }
  }

  @Test(arguments: [40, 64, 80, 96, 128, 192, 256])
  func headDimensions(dimension: Int) throws {
    let device = try CPUDevice(threads: 2)
    for (i, group) in [1, 3, 5, 8].enumerated() {
      var scenario = Scenario()
      scenario.shape = AttentionShape(queryHeads: group, kvHeads: 1, headDimension: dimension)
      scenario.variant = AttentionVariant.rope(i % 2 == 0 ? .halfSplit : .interleaved)
        .combined(with: .causal).combined(with: .sink(logits: (0..<group).map { Float($0) }))
        .combined(
          with: AttentionVariant("output") { v in
            v.value { x, at in x.own * 2 - x.opposite }
            v.output { x, at in x.own + x.neighbour * at.queryHead }
          })
      scenario.pageSize = [1, 3, 16][i % 3]
      scenario.elementType = [.float32, .bfloat16, .float16][i % 3]
      scenario.lengths = [(1, 7), (7, 7), (1, 777), (1, 1), (0, 0), (40, 90)]
      try check(scenario, device, workers: [3], sample: 11)
    }
  }

  @Test func oddDimensionsAndValues() throws {
    let device = try CPUDevice(threads: 2)
    for (d, dv) in [(1, 3), (7, 5), (33, 70)] {
      var scenario = Scenario()
      scenario.shape = AttentionShape(
        queryHeads: 3, kvHeads: 1, headDimension: d, valueDimension: dv)
      scenario.variant = AttentionVariant("odd") { v in
        v.query { x, at in x.own + x.neighbour * cos(at.query * at.dimension) }
        v.key { x, at in x.own - x.opposite * sin(at.kv / 3) }
        v.value { x, at in x.opposite + x.neighbour + at.dimension }
        v.output { x, at in x.neighbour - x.opposite }
      }
      for page in [5, 16] {
        scenario.pageSize = page
        scenario.elementType = page == 5 ? .float16 : .bfloat16
        scenario.lengths = [(2, 40), (17, 50)]
        try check(scenario, device, workers: [1, 4], sample: 1)
      }
    }
  }

  private func check(
    _ scenario: Scenario, _ device: CPUDevice, workers: [Int], sample: Int
  ) throws {
    let material = try Scenario.Material(scenario, device)
    for workers in workers {
      let result = try scenario.run(material, workers: workers)
      let error = try scenario.error(result, material, stored: true, sample: sample)
      #expect(
        error.output <= 2 * material.limit && error.lse <= material.lseLimit,
        "\(workers) workers, pages of \(scenario.pageSize), \(scenario.elementType): \(error)")
    }
  }
}

extension Symbol {
  /// The first element of a pair of neighbours turned with the second, or the second with the first.
  fileprivate func turned(
    by angle: Symbol, with partner: Symbol, _ at: AttentionVariant.Place
  ) -> Symbol {
    let isFirst = at.dimension .== 2 * floor(at.dimension / 2)
    return self * cos(angle) + partner * select(isFirst, -sin(angle), sin(angle))
  }
}
