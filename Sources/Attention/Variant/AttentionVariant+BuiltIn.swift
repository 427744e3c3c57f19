import Glibc

// Masks and logits. Every built-in variant is written in the notation that users have.
extension AttentionVariant {
  /// Every query attends to every key (arXiv 1706.03762, §3.2).
  public static let full = AttentionVariant("full")

  /// A query attends to the keys at and before its own position (arXiv 1706.03762, §3.2.3).
  public static let causal = AttentionVariant("causal") { v in
    v.mask { at in at.kv <= at.query }
  }

  /// A query attends to at most `windowLeft` keys before its own position, and to later ones
  /// (Longformer: arXiv 2004.05150; FlashInfer's `windowLeft`).
  ///
  /// Combine with ``causal`` for the usual sliding window, in which a query sees `windowLeft + 1`
  /// keys.
  public static func slidingWindow(left windowLeft: Int) -> AttentionVariant {
    AttentionVariant("window") { v in
      let left = v.parameter("window-left", default: Float(windowLeft))
      v.mask { at in at.query - at.kv <= left }
    }
  }

  /// Scores bounded smoothly: cap·tanh(s / cap) (Gemma 2: arXiv 2408.00118, §2).
  public static func softCap(_ cap: Float) -> AttentionVariant {
    AttentionVariant("soft-cap") { v in
      let cap = v.parameter("cap", default: cap)
      v.logits { s, _ in cap * tanh(s / cap) }
    }
  }

  /// A penalty that grows with distance: s + slope·(kv − query) (Press et al.: arXiv 2108.12409).
  public static func alibi(slopes: [Float]) -> AttentionVariant {
    AttentionVariant("alibi") { v in
      let slope = v.perHead("slopes", slopes)
      v.logits { s, at in s + slope * (at.kv - at.query) }
    }
  }

  /// ALiBi with the published slopes for `heads` heads (arXiv 2108.12409, §3).
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

  /// Whatever the bits of tensor `custom-mask` allow (FlashInfer's `custom_mask`, arXiv 2501.01005,
  /// §3.2): `queryLength × kvLength` for each request, row-major, packed little-endian.
  public static let customMask = AttentionVariant("custom mask") { v in
    let mask = v.bitMask("custom-mask")
    v.mask { _ in mask.allows }
  }

  /// All keys before the new tokens, and of the new ones those that the bits of `tree` allow: the
  /// drafts of speculative decoding (SpecInfer: arXiv 2305.09781, §4).
  ///
  /// The bits are those of a custom mask; only columns from kvLength − queryLength on are read.
  public static let treeMask = AttentionVariant("tree mask") { v in
    let ancestors = v.bitMask("tree")
    v.mask { at in at.kv < at.kvLength - at.queryLength || ancestors.allows }
  }

  /// A token attends to the tokens of its own document (FlexAttention: arXiv 2412.05496, §3).
  ///
  /// Tensor `document` has a number for every token; combine with ``causal``.
  public static let documentMask = AttentionVariant("document mask") { v in
    let document = v.perToken("document")
    v.mask { _ in document.ofKey .== document.ofQuery }
  }

  /// Weights sigmoid(s + bias) without normalisation (FlashSigmoid: arXiv 2409.04431).
  ///
  /// - Parameter bias: −ln of the number of keys is the paper's choice.
  public static func sigmoid(bias: Float) -> AttentionVariant {
    AttentionVariant("sigmoid") { v in
      let bias = v.parameter("bias", default: bias)
      v.usesSoftmax = false
      v.logits { s, _ in Attention.sigmoid(s + bias) }
    }
  }

  /// A learned logit for each query head in the softmax denominator (gpt-oss model card:
  /// arXiv 2508.10925, §2; Xiao et al.: arXiv 2309.17453, §3.3).
  public static func sink(logits: [Float]) -> AttentionVariant {
    AttentionVariant("sink") { v in
      let logit = v.perHead("sink-logits", logits)
      v.sink { _ in logit }
    }
  }

  /// Multi-head latent attention over the latent cache, up-projections absorbed (DeepSeek-V2:
  /// arXiv 2405.04434, §2.1): keys of `latent + rope` elements, values of `latent`, one kv head.
  ///
  /// Shape: `AttentionShape(queryHeads: h, kvHeads: 1, headDimension: 576, valueDimension: 512)`.
  /// The scale is that of the unabsorbed heads.
  public static func latent(headDimension: Int = 128, rope: Int = 64) -> AttentionVariant {
    AttentionVariant("latent", scale: 1 / Float(headDimension + rope).squareRoot()) { v in
      v.mask { at in at.kv <= at.query }
    }
  }

  /// Layer `layer` of a Gemma model: causal, in all but every `pattern`-th layer within a window
  /// (Gemma 3: arXiv 2503.19786, §2).
  ///
  /// - Parameters:
  ///   - layer: The layer's number, from 0.
  ///   - window: The keys that a local layer's query sees, itself among them.
  ///   - pattern: Six for Gemma 3, two for Gemma 2.
  public static func gemma(layer: Int, window: Int, pattern: Int = 6) -> AttentionVariant {
    let isGlobal = (layer + 1) % max(pattern, 1) == 0
    return isGlobal ? .causal : .causal.combined(with: .slidingWindow(left: window - 1))
  }

  /// Stored keys and values multiplied by tensors `key-scale` and `value-scale`, an entry for each
  /// token and kv head (KVQuant: arXiv 2401.18079; FlashInfer's `k_scale`, `v_scale`).
  ///
  /// A key's scale multiplies its scores: q·(k·c) = c·(q·k).
  public static let cacheScales = AttentionVariant("cache scales") { v in
    let key = v.perToken("key-scale", heads: .kv)
    let value = v.perToken("value-scale", heads: .kv)
    v.logits { s, _ in s * key.ofKey }
    v.value { x, _ in x.own * value.ofKey }
  }
}
