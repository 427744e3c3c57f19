import Glibc

extension AttentionVariant {
  /// Every query attends to every key.
  public static let full = AttentionVariant("full")

  /// A query attends to the keys at and before its own position.
  public static let causal = AttentionVariant("causal") { v in
    v.mask { at in at.kv <= at.query }
  }

  /// A query attends to at most `windowLeft` keys before its own position, and to later ones.
  ///
  /// FlashInfer's `windowLeft`; combine with ``causal`` for the usual sliding window, in which a
  /// query sees `windowLeft + 1` keys.
  public static func slidingWindow(left windowLeft: Int) -> AttentionVariant {
    AttentionVariant("window") { v in
      let left = v.parameter("window-left", default: Float(windowLeft))
      v.mask { at in at.query - at.kv <= left }
    }
  }

  /// Scores bounded smoothly: cap·tanh(s / cap).
  public static func softCap(_ cap: Float) -> AttentionVariant {
    AttentionVariant("soft-cap") { v in
      let cap = v.parameter("cap", default: cap)
      v.logits { s, _ in cap * tanh(s / cap) }
    }
  }

  /// A penalty that grows with distance: s + slope·(kv − query) (arXiv 2108.12409).
  public static func alibi(slopes: [Float]) -> AttentionVariant {
    AttentionVariant("alibi") { v in
      let slope = v.perHead("slopes", slopes)
      v.logits { s, at in s + slope * (at.kv - at.query) }
    }
  }

  /// ALiBi with the published slopes for `heads` heads.
  ///
  /// For a power of two, slope h is 2^(−8(h+1)/heads); other counts take every second slope of the
  /// next power of two for the remaining heads.
  public static func alibi(heads: Int) -> AttentionVariant {
    func slopes(_ count: Int) -> [Float] {
      (0..<count).map { Float(pow(2, -8 * Double($0 + 1) / Double(count))) }
    }
    var power = 1
    while power * 2 <= heads { power *= 2 }
    let finer = slopes(power * 2)
    let rest = stride(from: 0, to: finer.count, by: 2).map { finer[$0] }
    return alibi(slopes: Array((slopes(power) + rest).prefix(max(heads, 0))))
  }
}
