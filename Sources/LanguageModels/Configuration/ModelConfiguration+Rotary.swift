import Devices
import Glibc

extension ModelConfiguration {
  /// The configuration for sequences of at most `context` tokens.
  ///
  /// Dynamic NTK and LongRoPE turn by other frequencies in long sequences than in short ones. As all
  /// keys of a sequence must be turned alike, the longest sequence that a runner may hold decides,
  /// not the one it happens to hold.
  public func adapted(toContext context: Int) throws(ModelError) -> ModelConfiguration {
    var configuration = self
    for kind in attentionKinds.indices {
      do {
        configuration.attentionKinds[kind].rotary =
          try attentionKinds[kind].rotary.adapted(toSequenceLength: context)
      } catch {
        throw .metadata(key: "rope", expected: "a usable embedding", found: error.description)
      }
    }
    return configuration
  }

  /// A rotary embedding whose base stands at `baseKey`.
  static func rotary(
    _ metadata: ModelMetadata, dimension: Int, pairing: RotaryEmbedding.Pairing, baseKey: String,
    scaling: RotaryEmbedding.Scaling
  ) throws(ModelError) -> RotaryEmbedding {
    let base = try metadata.positive(baseKey) ?? 10_000
    let length = try contextLength(metadata)
    do {
      return try RotaryEmbedding(
        pairing: pairing, dimension: dimension, base: Double(base), scaling: scaling,
        sequenceLength: length)
    } catch {
      throw .metadata(key: "rope", expected: "a usable embedding", found: error.description)
    }
  }

  /// The most tokens that the model was trained for, or that dynamic NTK stretches it to.
  static func contextLength(_ metadata: ModelMetadata) throws(ModelError) -> Int {
    let context = try metadata.required("context_length", in: Bounds.context)
    guard metadata.text("rope.scaling.type") == "dynamic",
      try originalContext(metadata) == nil,
      let factor = try metadata.positive("rope.scaling.factor")
    else { return context }
    return min(Int(Double(context) * Double(factor)), Bounds.context.upperBound)
  }

  /// The context before it was stretched, where the checkpoint states it.
  private static func originalContext(_ metadata: ModelMetadata) throws(ModelError) -> Int? {
    try metadata.integer("rope.scaling.original_context_length", in: Bounds.context)
  }

  /// How the checkpoint wants frequencies changed for long contexts.
  static func scaling(_ metadata: ModelMetadata) throws(ModelError) -> RotaryEmbedding.Scaling {
    if let factors = metadata.frequencyFactors { return .perFrequency(factors) }
    let type = metadata.text("rope.scaling.type")
    let factors = (
      short: try metadata.numbers("rope.scaling.short_factor"),
      long: try metadata.numbers("rope.scaling.long_factor")
    )
    // GGUF files of Phi-3 have the factors as tensors and name no type.
    if type == "longrope" || type == "su" || factors.short != nil && factors.long != nil {
      return try longRoPE(metadata, factors.short, factors.long)
    }
    guard let type, type != "none", type != "default" else { return .none }
    let factor = Double(try metadata.positive("rope.scaling.factor") ?? 1)
    let context = try metadata.required("context_length", in: Bounds.context)
    switch type {
    case "linear": return .linear(factor: factor)
    case "dynamic":
      return .dynamicNTK(
        factor: factor, originalContext: try originalContext(metadata) ?? context)
    case "yarn":
      return .yarn(
        factor: factor, originalContext: try originalContext(metadata) ?? context,
        betaFast: Double(try metadata.positive("rope.scaling.yarn_beta_fast") ?? 32),
        betaSlow: Double(try metadata.positive("rope.scaling.yarn_beta_slow") ?? 1),
        attentionFactor: try attentionFactor(metadata, times: 0.1 * log(max(factor, 1)) + 1))
    case "llama3":
      guard let original = try originalContext(metadata) else {
        throw .metadata(
          key: "rope.scaling.original_context_length", expected: "a whole number",
          found: "nothing")
      }
      return .llama3(
        factor: factor,
        lowFrequencyFactor: Double(try metadata.positive("rope.scaling.low_freq_factor") ?? 1),
        highFrequencyFactor: Double(try metadata.positive("rope.scaling.high_freq_factor") ?? 4),
        originalContext: original)
    default:
      throw .metadata(
        key: "rope.scaling.type",
        expected: "none, linear, dynamic, yarn, longrope or llama3", found: "\"\(type)\"")
    }
  }

  private static func longRoPE(
    _ metadata: ModelMetadata, _ short: [Double]?, _ long: [Double]?
  ) throws(ModelError) -> RotaryEmbedding.Scaling {
    guard let short, let long else {
      throw .metadata(
        key: "rope.scaling.\(short == nil ? "short" : "long")_factor",
        expected: "a factor for each frequency", found: "nothing")
    }
    let context = try metadata.required("context_length", in: Bounds.context)
    let original = try originalContext(metadata) ?? context
    // A stated factor is how far the context was stretched; else its lengths say it.
    let stretched = try metadata.positive("rope.scaling.factor").map {
      min(Int((Double(original) * Double($0)).rounded()), Bounds.context.upperBound)
    }
    return .longRoPE(
      shortFactors: short, longFactors: long, context: stretched ?? context,
      originalContext: original,
      attentionFactor: try attentionFactor(metadata, times: 1))
  }

  /// The stated factor on cosine and sine, or GGUF's, which multiplies `usual`.
  private static func attentionFactor(
    _ metadata: ModelMetadata, times usual: Double
  ) throws(ModelError) -> Double? {
    if let stated = try metadata.positive("rope.scaling.attention_factor") {
      return Double(stated)
    }
    return try metadata.positive("rope.scaling.attn_factor").map { Double($0) * usual }
  }
}
