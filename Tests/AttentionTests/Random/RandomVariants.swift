import Attention

/// Every built-in variant, and some that use all of the notation, for a shape.
///
/// Logits are continuous in the score: rounding must not decide between two outcomes.
enum RandomVariants {
  static let count = make(AttentionShape(queryHeads: 1, kvHeads: 1, headDimension: 2), 1).count

  static func make(_ shape: AttentionShape, _ size: Int) -> [AttentionVariant] {
    masks(size) + logits(shape, size) + rotary(size) + functors(shape)
  }

  /// - Parameter size: What windows and documents are about as long as.
  private static func masks(_ size: Int) -> [AttentionVariant] {
    [
      .full, .causal, .slidingWindow(left: size),
      .causal.combined(with: .slidingWindow(left: size)), .customMask,
      .causal.combined(with: .customMask), .treeMask, .causal.combined(with: .documentMask),
      .gemma(layer: 3, window: size), .gemma(layer: 5, window: size),
      AttentionVariant("blocks and the beginning", scale: 0.3) { v in
        let size = v.parameter("size", default: Float(size))
        v.mask { at in floor(at.kv / size) .== floor(at.query / size) || at.kv < 4 }
      },
      AttentionVariant("odd rows") { v in
        v.mask { at in at.query - floor(at.query / 2) * 2 > 0.5 }
      },
      AttentionVariant("never") { v in v.mask { _ in false } },
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

  private static func logits(_ shape: AttentionShape, _ size: Int) -> [AttentionVariant] {
    let causal = AttentionVariant.causal
    let heads = shape.queryHeads
    return [
      .softCap(2).combined(with: .causal), causal.combined(with: .alibi(heads: heads)),
      causal.combined(
        with: .sink(logits: (0..<heads).map { [0.5, -1, 2, 9, -.infinity][$0 % 5] })),
      .sigmoid(bias: -2),
      causal.combined(with: .sigmoid(bias: -3)).combined(with: .slidingWindow(left: size)),
      .latent(), causal.combined(with: .cacheScales),
      AttentionVariant("every function") { v in
        let a = v.parameter("a", default: 0.7)
        v.logits { s, at in
          let distance = abs(at.query - at.kv)
          let x = select(s > a, sqrt(abs(s - a)) / 4 + exp(-a), exp(-max(s, -2)))
          return max(x - log(distance + 1), tanh(-s) - 3) + min(s, a) * sigmoid(s * 2)
            + at.queryHead * 0.1 - at.kvHead / 7
        }
        v.mask { at in !(at.kv - at.query > 0) && (at.kv >= 3 || at.query < 40) }
      },
      AttentionVariant("logits without a score") { v in
        v.logits { _, at in at.kv / 10 }
        v.mask { at in at.kv / 10 < 3 || at.kv <= at.query * 0.5 + 1 }
      },
      AttentionVariant("nullable") { v in
        let bias = v.perToken("bias", isNullable: true)
        let absent = v.nullableParameter("absent")
        let slope = v.perHead("slope", (0..<heads).map { Float($0 % 4) / 4 })
        v.logits { s, at in s * absent.or(0.5) + select(bias.isPresent, bias.ofKey, 3) * slope }
      },
    ]
  }

  private static func rotary(_ size: Int) -> [AttentionVariant] {
    let causal = AttentionVariant.causal
    return [
      .rope().combined(with: causal), .rope(.interleaved, base: 500).combined(with: causal),
      .rope(scaling: .llama3(originalContext: 64)).combined(with: causal),
      .rope(.interleaved, scaling: .yarn(factor: 4, originalContext: 64)).combined(with: causal),
      .rope(scaling: .linear(factor: 3)).combined(with: causal),
      .streaming(sinks: 2, window: size),
      .streaming(sinks: 4, window: size, pairing: .interleaved, base: 100),
    ]
  }

  private static func functors(_ shape: AttentionShape) -> [AttentionVariant] {
    let heads = shape.queryHeads
    return [
      AttentionVariant("every functor") { v in
        let gain = v.perRequest("gain", heads: .query)
        let bias = v.perQuery("bias")
        let norm = v.perToken("norm", heads: .kv)
        let slope = v.perHead("slope", (0..<heads).map { Float($0) / 8 - 0.3 })
        let open = v.nullablePerRequest("open")
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
          open.ifPresent({ s / $0 }, else: s * norm.ofKey) + slope + shift.or(0.25) * norm.ofQuery
        }
        v.mask { at in at.kv <= at.query || norm.ofKey > 1.1 }
      },
      AttentionVariant("two positions") { v in
        v.query { x, at in x.own * cos(at.query * at.dimension * 0.1 + at.queryHead) }
        v.key { x, at in x.own * cos(at.kv * at.dimension * 0.1 - at.kvLength) }
        v.key { x, at in x.neighbour + x.own * cos((at.kv - 20) * at.dimension * 0.3) }
        v.output { x, at in x.own * pow(1.01, at.dimension) }
        v.output { x, at in x.neighbour * (1 + at.query / (1 + at.kvLength)) }
        v.mask { at in at.kv <= at.query }
      },
      AttentionVariant("per dimension") { v in
        let gain = v.perDimension("gain", (0..<shape.headDimension).map { 1 + Float($0) / 64 })
        v.query { x, _ in x.own * gain }
        v.key { x, at in x.own + gain * cos(at.kv * gain) }
        v.mask { at in at.kv <= at.query }
      },
      AttentionVariant("sums of squares") { v in
        v.usesSoftmax = false
        v.logits { s, _ in s * s }
        v.value { x, _ in x.own + 1 }
        v.output { x, _ in x.own / 100 }
        v.mask { at in at.kv <= at.query && at.query - at.kv < 50 }
      },
      AttentionVariant("values and outputs") { v in
        v.value { x, _ in x.own * 2 - x.opposite }
        v.output { x, at in x.own + x.neighbour * at.queryHead / 8 }
      },
    ]
  }
}
