import Glibc

/// Which elements of a vector turn together.
public enum RotaryPairing: Sendable, Hashable {
  /// (0, 1), (2, 3), …: the original paper, GGUF files of Llama.
  case interleaved
  /// (0, d/2), (1, d/2 + 1), …: GPT-NeoX, Qwen, Gemma.
  case halfSplit
}

/// How rotary frequencies are changed for contexts longer than those of training.
public enum RotaryScaling: Sendable, Hashable {
  /// Not at all.
  case none
  /// Divided by a factor (Chen et al.: arXiv 2306.15595).
  case linear(factor: Float)
  /// Llama 3.1 (arXiv 2407.21783, §3.4.1 and its reference code): low ones divided, high ones kept.
  case llama3(
    factor: Float = 8, lowFrequencyFactor: Float = 1, highFrequencyFactor: Float = 4,
    originalContext: Int = 8192)
  /// YaRN (arXiv 2309.00071, §3.1 to 3.4): a ramp over the frequencies, and cosine and sine
  /// multiplied by 0.1·ln(factor) + 1.
  case yarn(factor: Float, originalContext: Int, betaFast: Float = 32, betaSlow: Float = 1)
}

extension VectorSymbol {
  /// The element after rotary position embedding (RoFormer: arXiv 2104.09864, §3.2), in the
  /// notation: the pair turned by position · base^(−2i/d).
  ///
  /// - Parameters:
  ///   - position: Where the vector stands; any expression of its place.
  ///   - at: The functor's place.
  ///   - pairing: Which elements turn together.
  ///   - base: What the frequencies are powers of.
  ///   - scaling: How frequencies are changed for long contexts.
  public func rotated(
    to position: Symbol, at: AttentionVariant.Place, pairing: RotaryPairing = .halfSplit,
    base: Float = 10_000, scaling: RotaryScaling = .none
  ) -> Symbol {
    let half = at.dimensionCount / 2
    let (isFirst, pair, partner) =
      switch pairing {
      case .halfSplit:
        (
          at.dimension < half, at.dimension - select(at.dimension < half, 0, half), opposite
        )
      case .interleaved:
        (
          at.dimension .== 2 * floor(at.dimension / 2), floor(at.dimension / 2), neighbour
        )
      }
    let plain = pow(Symbol(base), -2 * pair / at.dimensionCount)
    let angle = position * scaling.frequency(plain, pair, of: half, base: Symbol(base))
    let (cosine, sine) = (scaling.amplitude * cos(angle), scaling.amplitude * sin(angle))
    return own * cosine + partner * select(isFirst, -sine, sine)
  }
}

extension RotaryScaling {
  /// The scaled frequency of pair `pair` of `count`.
  fileprivate func frequency(_ plain: Symbol, _ pair: Symbol, of count: Symbol, base: Symbol)
    -> Symbol
  {
    func between0And1(_ x: Symbol) -> Symbol { min(max(x, 0), 1) }
    switch self {
    case .none: return plain
    case .linear(let factor): return plain / Symbol(factor)
    case .llama3(let factor, let low, let high, let context):
      let turns = Symbol(context) * plain / Self.circle
      let kept = between0And1((turns - Symbol(low)) / Symbol(high - low))
      return plain * (kept + (1 - kept) / Symbol(factor))
    case .yarn(let factor, let context, let fast, let slow):
      /// The pair that turns `turns` times over the original context.
      func index(_ turns: Float) -> Symbol {
        count * log(Symbol(context) / (Symbol(turns) * Self.circle)) / log(base)
      }
      let low = max(floor(index(fast)), 0)
      let high = min(-floor(-index(slow)), 2 * count - 1)
      let divided = between0And1((pair - low) / select(low .== high, 0.001, high - low))
      return plain * (1 - divided + divided / Symbol(factor))
    }
  }

  private static var circle: Symbol { Symbol(floatLiteral: 2 * Double.pi) }

  fileprivate var amplitude: Symbol {
    if case .yarn(let factor, _, _, _) = self, factor > 1 {
      return 0.1 * log(Symbol(factor)) + 1
    }
    return 1
  }
}

extension AttentionVariant {
  /// Rotary position embedding of queries and stored, unrotated keys by their own positions
  /// (RoFormer: arXiv 2104.09864), fused into attention.
  public static func rope(
    _ pairing: RotaryPairing = .halfSplit, base: Float = 10_000, scaling: RotaryScaling = .none
  ) -> AttentionVariant {
    AttentionVariant(pairing == .interleaved ? "rope-interleaved" : "rope") { v in
      v.query { q, at in
        q.rotated(to: at.query, at: at, pairing: pairing, base: base, scaling: scaling)
      }
      v.key { k, at in
        k.rotated(to: at.kv, at: at, pairing: pairing, base: base, scaling: scaling)
      }
    }
  }

  /// StreamingLLM (Xiao et al.: arXiv 2309.17453, §3.2): the first `sinks` keys and the last
  /// `window`, rotated by their places in the cache that holds only these.
  ///
  /// Stored keys are unrotated. Places are those that the request's last query sees.
  public static func streaming(
    sinks: Int, window: Int, pairing: RotaryPairing = .halfSplit, base: Float = 10_000
  ) -> AttentionVariant {
    AttentionVariant("streaming") { v in
      let sinks = v.parameter("sinks", default: Float(sinks))
      let window = v.parameter("window", default: Float(window))
      v.query { q, at in
        let evicted = max(at.kvLength - sinks - window, 0)
        return q.rotated(to: max(at.query - evicted, 0), at: at, pairing: pairing, base: base)
      }
      v.key { k, at in
        let evicted = max(at.kvLength - sinks - window, 0)
        let place = select(at.kv < sinks, at.kv, max(at.kv - evicted, sinks))
        return k.rotated(to: place, at: at, pairing: pairing, base: base)
      }
      v.mask { at in
        at.kv <= at.query && (at.kv < sinks || at.query - at.kv < window)
      }
    }
  }
}
