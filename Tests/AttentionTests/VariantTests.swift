import Attention
import Devices
import Tensors
import Testing

/// Variants: the trees their closures leave, and the CPU's meaning against the Double one.
@Suite struct VariantTests {
  static let all: [AttentionVariant] = [
    .full, .causal, .causal.combined(with: .slidingWindow(left: 20)),
    .slidingWindow(left: 0), .softCap(3).combined(with: .causal), .alibi(heads: 6),
    .causal.combined(with: .slidingWindow(left: 33)).combined(with: .softCap(1))
      .combined(with: .alibi(heads: 6)),
    AttentionVariant("document", scale: 0.3) { v in
      let size = v.parameter("size", default: 24)
      v.mask { at in floor(at.kv / size) .== floor(at.query / size) || at.kv < 4 }
    },
    AttentionVariant("every function") { v in
      let a = v.parameter("a", default: 0.7)
      v.logits { s, at in
        let distance = abs(at.query - at.kv)
        let x = select(s > a, sqrt(abs(s)) + exp(-s), min(s, a) * sigmoid(s * 2))
        return max(x - log(distance + 1), tanh(-s) - 3) + at.queryHead * 0.1 - at.kvHead / 7
      }
      v.logits { s, at in s * (at.kvLength - at.queryLength + 1) / 40 + at.request }
      v.mask { at in !(at.kv - at.query > 0) && (at.kv >= 3 || at.query < 40) }
    },
    AttentionVariant("logits without a score") { v in
      v.logits { _, at in at.kv / 10 }
      v.mask { at in at.kv / 10 < 3 || at.kv <= at.query * 0.5 + 1 }
    },
    AttentionVariant("constant logits") { v in v.logits { _, at in at.queryHead } },
    AttentionVariant("odd rows") { v in v.mask { at in at.query - floor(at.query / 2) * 2 > 0.5 } },
    AttentionVariant("never") { v in v.mask { _ in false } },
    AttentionVariant("kv alone") { v in v.logits { _, at in at.kv } },
  ]

  @Test(arguments: all, InstructionSet.available)
  func tileProgramMeansWhatTheInterpreterSays(variant: AttentionVariant, level: InstructionSet)
    throws
  {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    for (pageSize, lengths) in [
      (16, [(1, 70), (60, 60), (3, 300), (2, 1)]), (3, [(5, 41), (1, 300), (0, 9)]),
    ] {
      var scenario = Scenario()
      scenario.shape = AttentionShape(queryHeads: 6, kvHeads: 2, headDimension: 24)
      scenario.variant = variant
      scenario.pageSize = pageSize
      scenario.lengths = lengths
      scenario.queryMagnitude = 4
      let material = try Scenario.Material(scenario, device)
      for workers in [1, 7] {
        let result = try scenario.run(material, workers: workers)
        let error = try scenario.error(result, material, stored: true, sample: 7)
        #expect(
          error.output <= 2 * material.limit && error.lse <= 1e-5, "\(variant.name): \(error)")
      }
    }
  }

  @Test func parametersAreReplacedByName() throws {
    let device = try CPUDevice(threads: 1)
    var scenario = Scenario()
    scenario.lengths = [(5, 30)]
    scenario.queryMagnitude = 30
    scenario.variant = try AttentionVariant.softCap(30).setting("cap", to: 0.5)
    let material = try Scenario.Material(scenario, device)
    let result = try scenario.run(material)
    #expect(try scenario.error(result, material, stored: true).output < material.limit)
    scenario.variant = .softCap(30)
    #expect(try scenario.error(result, material, stored: true).output > 1e-2)
  }

  @Test func equalDefinitionsAreEqualValues() {
    let a = AttentionVariant("x") { v in v.mask { at in at.kv <= at.query } }
    let b = AttentionVariant("x") { v in v.mask { at in at.query >= at.kv } }
    #expect(a == b)
    #expect(a.hashValue == b.hashValue)
    #expect(a != AttentionVariant("x") { v in v.mask { at in at.kv < at.query } })
  }

  @Test func constantsFold() {
    let variant = AttentionVariant("folded") { v in
      v.logits { s, _ in (s * 1 + 0) / 1 }
      v.mask { _ in true && 3 < 4 }
    }
    #expect(variant.logitsExpression == .score)
    #expect(variant.maskExpression == .constant(1))
  }

  @Test(arguments: 0..<40)
  func intervalsContainEveryValue(seed: Int) {
    var random = Random(UInt64(seed))
    let expression = Self.randomExpression(&random, depth: 4)
    let query = Int(random.next() % 20)
    let kv = Int(random.next() % 20)
    let range = PlaceRange(
      query: query...query + 5, kv: kv...kv + 6, queryHead: 0...3, kvHead: 0...1, request: 2...2,
      queryLength: 6...6, kvLength: 30...30)
    let parameters = VariantParameters()
    let interval = expression.interval(over: range, parameters)
    for q in range.query {
      for k in range.kv {
        for head in 0...3 {
          var place = ScorePlace()
          place.query = q
          place.kv = k
          place.queryHead = head
          place.kvHead = head / 2
          place.request = 2
          place.queryLength = 6
          place.kvLength = 30
          let value = expression.evaluate(score: 0, at: place, parameters)
          if !value.isNaN {
            #expect(interval.low <= value && value <= interval.high, "\(expression)")
          }
        }
      }
    }
  }

  private static func randomExpression(_ random: inout Random, depth: Int) -> Expression {
    if depth == 0 || random.next() % 5 == 0 {
      return random.next() % 3 == 0
        ? .constant(Double(random.next() % 9) - 4)
        : .position(Expression.Position.allCases[Int(random.next() % 7)])
    }
    switch random.next() % 7 {
    case 0:
      let f = Expression.Unary.allCases[Int(random.next() % 9)]
      return .make(f, randomExpression(&random, depth: depth - 1))
    case 1:
      return .makeSelect(
        randomExpression(&random, depth: depth - 1), randomExpression(&random, depth: depth - 1),
        randomExpression(&random, depth: depth - 1))
    default:
      let f = Expression.Binary.allCases[Int(random.next() % 11)]
      return .make(
        f, randomExpression(&random, depth: depth - 1), randomExpression(&random, depth: depth - 1))
    }
  }

  @Test(arguments: [
    (AttentionVariant.causal, 5..<5, 0..<6), (.causal, 0..<3, 0..<4),
    (AttentionVariant.causal.combined(with: .slidingWindow(left: 3)), 10..<12, 7..<13),
    (AttentionVariant.slidingWindow(left: 2), 9..<9, 7..<30), (.full, 4..<4, 0..<30),
  ])
  func boundsGiveTheKeysRead(variant: AttentionVariant, queries: Range<Int>, expected: Range<Int>) {
    let bounds = MaskBounds(variant.maskExpression.resolving(variant.parameters))
    #expect(bounds.residual == nil)
    let range = queries.lowerBound...queries.upperBound
    #expect(bounds.keys(queries: range, kvLength: 30) == expected)
  }

  /// Masks written otherwise: with minima, maxima, absolute values, negations, lengths.
  static let written: [AttentionVariant] = [
    AttentionVariant("max") { v in v.mask { at in max(at.query - 9, 0) + 1 <= at.kv + 1 } },
    AttentionVariant("min") { v in v.mask { at in at.kv < min(at.query + 1, at.kvLength - 3) } },
    AttentionVariant("abs") { v in v.mask { at in abs(at.kv - at.query) < 7 } },
    AttentionVariant("not") { v in v.mask { at in !(at.kv > at.query || at.query - at.kv > 5) } },
    AttentionVariant("equal") { v in v.mask { at in at.kv .== at.query } },
    AttentionVariant("length") { v in v.mask { at in at.kv >= at.kvLength - at.queryLength } },
    AttentionVariant("half") { v in v.mask { at in 2 * at.kv <= at.query } },
  ]

  @Test func writtenBoundsLeaveNothing() {
    for variant in Self.written {
      #expect(MaskBounds(variant.maskExpression).residual == nil, "\(variant.name)")
    }
    let sinks = AttentionVariant.streaming(sinks: 4, window: 60)
    #expect(MaskBounds(sinks.maskExpression.resolving(sinks.parameters)).hasGaps)
  }

  /// What a window says of the most keys, none among it, holds for every query.
  @Test func mostKeysHold() {
    let never = AttentionVariant("never") { v in
      v.mask { at in at.kv <= at.query - 1e30 && at.kv >= at.query + 1e30 }
    }
    var known: [String: Int] = [:]
    for variant in Self.all + Self.written + [never, .streaming(sinks: 4, window: 9)] {
      let bounds = MaskBounds(variant.maskExpression.resolving(variant.parameters))
      guard let most = bounds.mostKeys else { continue }
      known[variant.name] = most
      for query in 0..<90 {
        #expect(bounds.keys(query: query, kvLength: 90, queryLength: 30).count <= most)
      }
    }
    // Ends that are excluded count: positions need not be whole.
    #expect(known["never"] == 0 && known["abs"] == 15 && known["equal"] == 1)
    #expect(known["not"] == 6 && known["causal"] == nil && known["streaming"] == nil)
  }

  /// A window of 1,024 keys, or sinks and a window, over 32k: only they are planned.
  @Test func onlyKeysThatCountArePlanned() throws {
    let device = try CPUDevice(threads: 1)
    let shape = AttentionShape(queryHeads: 4, kvHeads: 1, headDimension: 8)
    let batch = try AttentionBatch(
      queries: RaggedIndex(lengths: [1, 64]),
      pages: PageTable(raggedLengths: [32_768, 32_768], pageSize: 16))
    for variant in [
      AttentionVariant.streaming(sinks: 4, window: 1_024),
      AttentionVariant.causal.combined(with: .slidingWindow(left: 1_023)),
      AttentionVariant("clamped") { v in
        let window = v.parameter("window", default: 1_024)
        v.mask { at in at.kv <= at.query && at.kv > max(at.query - window, -1) }
      },
      AttentionVariant("either") { v in
        v.mask { at in at.kv <= at.query && (at.kv < 16 || at.query - at.kv < 1_024) }
        v.mask { at in !(at.kv >= 16 && at.query - at.kv >= 1_024) }
      },
    ] {
      let plan = try AttentionPlan(device: device, shape: shape, variant: variant, batch: batch)
      let keys = plan.plannedKeys
      // Three tiles: the decode request's, and two of 32 queries with 4 heads each.
      #expect(
        keys >= 3 * 1_024 && keys <= 3 * (1_024 + 31 + 2 * 16), "\(variant.name): \(keys)")
    }
  }

  @Test func segmentsHoldEveryKey() {
    for variant in Self.all + Self.written + [.streaming(sinks: 4, window: 9)] {
      let mask = variant.maskExpression.resolving(variant.parameters)
      let bounds = MaskBounds(mask)
      for first in [-3, 0, 20, 90] {
        let queries = first...first + 7
        let segments = bounds.segments(
          queries: queries, kvLength: 120, queryLength: 30, granule: 8, gap: 8)
        for (a, b) in zip(segments, segments.dropFirst()) { #expect(a.upperBound < b.lowerBound) }
        var parameters = variant.parameters
        parameters.vectors = parameters.vectors.map { _ in [0] }
        for query in queries {
          for kv in 0..<120 {
            var place = ScorePlace()
            (place.query, place.kv, place.kvLength, place.queryLength) = (query, kv, 120, 30)
            if mask.evaluate(score: 0, at: place, parameters) != 0 {
              #expect(segments.contains { $0.contains(kv) }, "\(variant.name) at \(query), \(kv)")
            }
          }
        }
      }
    }
  }

  @Test func boundsAndResidualTogetherAreTheMask() {
    for variant in Self.all + Self.written {
      let mask = variant.maskExpression.resolving(variant.parameters)
      let bounds = MaskBounds(mask)
      for query in -2..<40 {
        let keys = bounds.keys(query: query, kvLength: 50, queryLength: 20)
        for kv in 0..<50 {
          var place = ScorePlace()
          (place.query, place.kv, place.kvLength, place.queryLength) = (query, kv, 50, 20)
          let whole = mask.evaluate(score: 0, at: place, variant.parameters) != 0
          let rest =
            bounds.residual.map { $0.evaluate(score: 0, at: place, variant.parameters) != 0 }
            ?? true
          #expect(whole == (keys.contains(kv) && rest), "\(variant.name) at \(query), \(kv)")
        }
      }
    }
  }
}
