import Attention
import Devices
import Glibc
import Tensors
import Testing

/// Code that README and the documentation show, compiled and run.
@Suite struct NotationTests {
  /// README's first variant.
  @Test func readmeExample() throws {
    let softCapped = AttentionVariant("soft-cap") { v in
      let cap = v.parameter("cap", default: 30)
      v.logits { s, at in cap * tanh(s / cap) }
      v.mask { at in at.kv <= at.query && at.query - at.kv < 4096 }
    }
    var scenario = Scenario()
    scenario.variant = softCapped
    scenario.lengths = [(3, 40), (1, 5000)]
    scenario.queryMagnitude = 60
    try scenario.check(workers: 2, sample: 3)
  }

  /// StreamingLLM (arXiv 2309.17453) from nothing but the notation: RoPE fused into attention, the
  /// positions those of a cache that holds the sinks and the window only.
  @Test(arguments: [1, 5])
  func streamingFromScratch(workers: Int) throws {
    let streaming = AttentionVariant("StreamingLLM") { v in
      let sinks = v.parameter("sinks", default: 4)
      let window = v.parameter("window", default: 60)
      /// Turns x by its place, elements i and i + d/2 together.
      func rotated(_ x: VectorSymbol, _ place: Symbol, _ at: AttentionVariant.Place) -> Symbol {
        let half = at.dimensionCount / 2
        let isFirst = at.dimension < half
        let pair = at.dimension - select(isFirst, 0, half)
        let angle = place * pow(10_000, -2 * pair / at.dimensionCount)
        return x.own * cos(angle) + x.opposite * select(isFirst, -sin(angle), sin(angle))
      }
      v.query { q, at in
        rotated(q, max(at.query - max(at.kvLength - sinks - window, 0), 0), at)
      }
      v.key { k, at in
        let evicted = max(at.kvLength - sinks - window, 0)
        return rotated(k, select(at.kv < sinks, at.kv, max(at.kv - evicted, sinks)), at)
      }
      v.mask { at in at.kv <= at.query && (at.kv < sinks || at.query - at.kv < window) }
    }
    var scenario = Scenario()
    scenario.variant = streaming
    scenario.elementType = .bfloat16
    scenario.lengths = [(1, 777), (1, 30), (5, 200), (1, 3000)]
    try scenario.check(workers: workers, sample: 1)
    // The built-in one is the same, and what it computes is attention over a rolling cache: the
    // kept keys, rotated by their places in it.
    let material = try Scenario.Material(scenario, CPUDevice(threads: 2))
    let ours = try scenario.run(material)
    scenario.variant = .streaming(sinks: 4, window: 60)
    let builtIn = try scenario.run(material)
    for (a, b) in zip(ours.output, builtIn.output) {
      #expect(abs(Double(a - b)) < material.limit)
    }
    let expected = try rollingCache(scenario, material, request: 3, sinks: 4, window: 60)
    let start = (material.batch.queries.total - 1) * 4 * 64
    for (a, b) in zip(ours.output[start...], expected) {
      #expect(abs(Double(a) - b) < material.limit)
    }
  }

  /// Decode of one request over the keys that StreamingLLM keeps, by means of Devices' rotation.
  private func rollingCache(
    _ scenario: Scenario, _ material: Scenario.Material, request: Int, sinks: Int, window: Int
  ) throws -> [Double] {
    let length = scenario.lengths[request].kv
    let kept = Array(0..<sinks) + Array(length - window..<length)
    let (d, group) = (64, 2)
    let rope = try RotaryEmbedding(pairing: .halves, dimension: d)
    let queries = Array(material.queries.elements(Float.self).suffix(4 * d))
    var output: [Double] = []
    for head in 0..<4 {
      func key(_ position: Int) -> [Double] {
        let start = (position * 2 + head / group) * d
        return material.keys[request][start..<start + d].map { Double(Float(BFloat16($0))) }
      }
      func value(_ position: Int) -> [Double] {
        let start = (position * 2 + head / group) * d
        return material.values[request][start..<start + d].map { Double(Float(BFloat16($0))) }
      }
      let q = rope.turned(
        queries[head * d..<head * d + d].map(Double.init), to: kept.count - 1)
      let scores = kept.enumerated().map { place, position in
        zip(q, rope.turned(key(position), to: place)).reduce(0) { $0 + $1.0 * $1.1 } / 8
      }
      let total = scores.map { exp($0) }.reduce(0, +)
      var row = [Double](repeating: 0, count: d)
      for (score, position) in zip(scores, kept) {
        for (c, x) in value(position).enumerated() { row[c] += exp(score) / total * x }
      }
      output += row
    }
    return output
  }

  /// The notation's rotary embeddings against Devices', which models use.
  @Test(arguments: [RotaryPairing.interleaved, .halfSplit])
  func rotaryScalings(pairing: RotaryPairing) throws {
    let scalings: [(RotaryScaling, RotaryEmbedding.Scaling)] = [
      (.none, .none), (.linear(factor: 4), .linear(factor: 4)),
      (
        .llama3(),
        .llama3(
          factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8192)
      ),
      (
        .yarn(factor: 16, originalContext: 4096), .yarn(factor: 16, originalContext: 4096)
      ),
    ]
    for base in [Float(10_000), 500_000] {
      for d in [64, 80, 128] {
        for (ours, theirs) in scalings {
          let rope = try RotaryEmbedding(
            pairing: pairing == .interleaved ? .adjacent : .halves, dimension: d,
            base: Double(base), scaling: theirs)
          let variant = AttentionVariant.rope(pairing, base: base, scaling: ours)
          for position in [0, 1, 77, 5_000, 100_000] {
            var surroundings = Surroundings()
            surroundings.vector = (0..<d).map { sin(Double($0 * $0)) }
            var place = ScorePlace()
            (place.kv, place.dimensionCount) = (position, d)
            let key = try #require(variant.functors.first { $0.kind == .key })
            let expected = rope.turned(surroundings.vector, to: position)
            for i in 0..<d {
              place.dimension = i
              let value = key.expression.evaluate(at: place, in: surroundings)
              // Parameters are floats here and there, in another order.
              #expect(abs(value - expected[i]) < 1e-9 + Double(position) * 1e-7)
            }
          }
        }
      }
    }
  }

  @Test func definitionsPrint() {
    let variant = AttentionVariant("shown", scale: 0.5) { v in
      let cap = v.parameter("cap", default: 30)
      let slope = v.perHead("slopes", [1, 2])
      let document = v.perToken("document")
      v.key { k, at in -(k.own - k.neighbour) * cos(at.kv) / (at.dimension / 2) }
      v.logits { s, at in cap * tanh(s / cap) - (slope - at.kv) }
      v.mask { at in
        (at.kv <= at.query || document.ofKey .== document.ofQuery) && !(at.kv < 4)
      }
    }
    #expect(
      variant.definition == """
        shown: scale 0.5
          key: -(x.own - x.neighbour) * cos(at.kv) / (at.dimension / 2)
          logits: cap * tanh(s / cap) - (slopes[at.queryHead] - at.kv)
          mask: (at.kv <= at.query || document.ofKey .== document.ofQuery) && !(at.kv < 4)
        """)
  }
}

/// Mistakes in definitions and data: typed errors that point at the user's expression.
@Suite struct VariantErrorTests {
  private let shape = AttentionShape(queryHeads: 4, kvHeads: 2, headDimension: 8)

  private func plan(_ variant: AttentionVariant) throws(AttentionPlan.Failure) -> AttentionPlan {
    do {
      return try AttentionPlan(device: CPUDevice(threads: 1), shape: shape, variant: variant)
    } catch let failure as AttentionPlan.Failure {
      throw failure
    } catch {
      throw .size("device", 0)
    }
  }

  /// The message of the error that planning a variant gives.
  private func message(_ variant: AttentionVariant) -> String {
    do {
      _ = try plan(variant)
      return "no error"
    } catch {
      return error.description
    }
  }

  @Test func functorsThatReadWhatTheyDoNotHave() {
    var score: Symbol = 0
    let leaky = AttentionVariant("leaky") { v in
      v.logits { s, _ in
        score = s
        return s
      }
      v.mask { at in score * 2 < at.kv }
    }
    #expect(
      message(leaky).contains("the mask functor defined at AttentionTests/NotationTests.swift:"))
    #expect(message(leaky).contains("reads the score"))
    #expect(message(leaky).hasSuffix(": s * 2 < at.kv"))
    let cases: [(AttentionVariant, String)] = [
      (AttentionVariant("a") { v in v.query { x, at in x.own * at.kv } }, "at.kv"),
      (AttentionVariant("b") { v in v.key { x, at in x.own * at.query } }, "at.query"),
      (AttentionVariant("c") { v in v.value { x, at in x.own + at.queryHead } }, "at.queryHead"),
      (AttentionVariant("d") { v in v.logits { s, at in s + at.dimension } }, "at.dimension"),
      (AttentionVariant("e") { v in v.output { x, at in x.own / at.kv } }, "at.kv"),
      (AttentionVariant("f") { v in v.sink { at in at.kv } }, "at.kv"),
      (
        AttentionVariant("g") { v in
          let slope = v.perHead("slope", [1, 2, 3, 4])
          v.key { x, _ in x.own * slope }
        }, "slope[at.queryHead]"
      ),
      (
        AttentionVariant("h") { v in
          let norm = v.perToken("norm")
          v.query { x, _ in x.own * norm.ofKey }
        }, "norm.ofKey"
      ),
      (
        AttentionVariant("i") { v in
          let mask = v.bitMask("bits")
          v.value { x, _ in select(mask.allows, x.own, 0) }
        }, "bits.allows"
      ),
    ]
    for (variant, reads) in cases {
      #expect(message(variant).contains(" reads \(reads), "), "\(message(variant))")
      #expect(throws: AttentionVariant.Invalid.self) { try variant.check() }
    }
  }

  @Test func parametersAndData() throws {
    typealias Invalid = AttentionVariant.Invalid
    #expect(throws: Invalid.unknownParameter("gap", known: ["cap"])) {
      try AttentionVariant.softCap(3).setting("gap", to: 1)
    }
    #expect(throws: Invalid.notNullable("cap")) {
      try AttentionVariant.softCap(3).setting("cap", to: nil)
    }
    #expect(throws: AttentionPlan.Failure.variant(.length("gain", expected: [8], found: 3))) {
      try plan(
        AttentionVariant("x") { v in
          let gain = v.perDimension("gain", [1, 2, 3])
          v.key { x, _ in x.own * gain }
        })
    }
    #expect(
      message(AttentionVariant.sigmoid(bias: 0).combined(with: .sink(logits: [1, 2, 3, 4])))
        .contains("needs softmax"))

    var scenario = Scenario()
    scenario.shape = shape
    scenario.lengths = [(2, 5), (1, 3)]
    let material = try Scenario.Material(scenario, CPUDevice(threads: 1))
    let scales = try plan(.cacheScales)
    var tensors = VariantTensors()
    tensors["key-scale"] = [Float](repeating: 1, count: 16)
    tensors["value-scale"] = [Float](repeating: 1, count: 15)
    #expect(
      throws: AttentionPlan.Failure.variant(.length("value-scale", expected: [8, 2], found: 15))
    ) {
      try scales.update(material.batch, tensors: tensors)
    }
    tensors["value-scale"] = nil
    try scales.update(material.batch, tensors: tensors)
    #expect(throws: AttentionPlan.Failure.variant(.unbound("value-scale"))) {
      try scenario.run(material, scales)
    }
    tensors["value-scale"] = [Float](repeating: 1, count: 16)
    try scales.bind(tensors)
    _ = try scenario.run(material, scales)
    // Another batch forgets the data.
    try scales.update(material.batch)
    #expect(throws: AttentionPlan.Failure.variant(.unbound("key-scale"))) {
      try scenario.run(material, scales)
    }
    tensors["nonsense"] = [1]
    #expect(
      throws: AttentionPlan.Failure.variant(
        .unknownParameter("nonsense", known: ["key-scale", "value-scale"]))
    ) {
      try scales.bind(tensors)
    }
    let masked = try plan(.customMask)
    var bits = VariantTensors()
    bits[mask: "custom-mask"] = [1, 2]
    #expect(
      throws: AttentionPlan.Failure.variant(.length("custom-mask", expected: [3], found: 2))
    ) {
      try masked.update(material.batch, tensors: bits)
    }
  }

  @Test func sumsHaveNoLogSumExp() throws {
    var scenario = Scenario()
    scenario.shape = shape
    let material = try Scenario.Material(scenario, CPUDevice(threads: 1))
    let sums = try plan(.sigmoid(bias: 0))
    try sums.update(material.batch)
    // The plan does not use softmax; the scenario's variant does and asks for an LSE.
    #expect(throws: AttentionPlan.Failure.noLogSumExp("sigmoid")) {
      try scenario.run(material, sums)
    }
  }
}

/// Data that comes and goes between batches and layers.
@Suite struct BindingTests {
  private let biased = AttentionVariant("maybe biased") { v in
    let bias = v.perToken("bias", isNullable: true)
    let allowed = v.bitMask("allowed", isNullable: true)
    let shift = v.nullableParameter("shift")
    v.logits { s, _ in select(bias.isPresent, s + bias.ofKey, s) + shift.or(0) * s }
    v.mask { at in
      at.kv <= at.query && (allowed.isPresent && allowed.allows || !allowed.isPresent && at.kv < 50)
    }
  }

  @Test func nullableParametersTakeTheOtherBranch() throws {
    var scenario = Scenario()
    scenario.shape = AttentionShape(queryHeads: 4, kvHeads: 2, headDimension: 64)
    scenario.lengths = [(5, 90), (1, 300)]
    let device = try CPUDevice(threads: 2)
    let material = try Scenario.Material(scenario, device)
    for shift in [nil, 0.5] as [Float?] {
      scenario.variant = try biased.setting("shift", to: shift)
      let plan = try AttentionPlan(
        device: device, shape: scenario.shape, variant: scenario.variant, workers: 3)
      let everything = VariantCase.randomTensors(biased, material.batch, scenario.shape)
      var some = VariantTensors()
      some["bias"] = everything["bias"]
      for tensors in [VariantTensors(), some, everything, VariantTensors()] {
        scenario.tensors = { _ in tensors }
        try plan.update(material.batch, tensors: tensors)
        let error = try scenario.error(scenario.run(material, plan), material, stored: true)
        #expect(error.output < 1e-5 && error.lse < 1e-5, "\(error)")
        // Bound after planning, the mask decides anew which keys are read.
        try plan.update(material.batch)
        try plan.bind(tensors)
        let later = try scenario.error(scenario.run(material, plan), material, stored: true)
        #expect(later.output < 1e-5 && later.lse < 1e-5, "\(later)")
      }
    }
  }
}

extension RotaryEmbedding {
  /// A vector turned to a position, in Double.
  fileprivate func turned(_ x: [Double], to position: Int) -> [Double] {
    var y = x
    for (i, frequency) in frequencies.enumerated() {
      let (a, b) = pairing == .adjacent ? (2 * i, 2 * i + 1) : (i, i + dimension / 2)
      let angle = Double(position) * frequency
      let (c, s) = (amplitude * cos(angle), amplitude * sin(angle))
      (y[a], y[b]) = (x[a] * c - x[b] * s, x[b] * c + x[a] * s)
    }
    return y
  }
}

extension Scenario {
  /// Runs and compares with the oracle.
  fileprivate func check(workers: Int, sample: Int) throws {
    let material = try Material(self, CPUDevice(threads: 2))
    let error = try error(run(material, workers: workers), material, stored: true, sample: sample)
    #expect(error.output <= 2 * material.limit && error.lse <= material.lseLimit, "\(error)")
  }
}
