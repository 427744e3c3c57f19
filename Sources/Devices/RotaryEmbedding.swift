import Glibc

/// Rotary position embedding (RoFormer, arXiv 2104.09864): which elements of a head form pairs,
/// and how far each pair turns per position.
///
/// Frequencies are kept in Double; angles are reduced in Double before they become floats, so
/// that positions of any size are exact to a float's precision.
public struct RotaryEmbedding: Sendable, Hashable {
  /// Which elements of a head turn together.
  public enum Pairing: Sendable, Hashable {
    /// Neighbours: (0, 1), (2, 3), … as in the original paper and in GGUF files of llama.
    case adjacent
    /// Halves: (0, d/2), (1, d/2 + 1), … as in GPT-NeoX, Qwen and Gemma.
    case halves
  }

  /// How frequencies are changed for contexts longer than those of training.
  public enum Scaling: Sendable, Hashable {
    /// Not at all.
    case none
    /// Positions divided by a factor (arXiv 2306.15595).
    case linear(factor: Double)
    /// Frequencies divided each by its own factor, as GGUF's `rope_freqs` stores them.
    case perFrequency([Float])
    /// Llama 3.1: long wavelengths divided by the factor, short ones kept, a ramp between.
    case llama3(
      factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double,
      originalContext: Int)
    /// YaRN (arXiv 2309.00071): a ramp over the frequencies, and a factor on cosine and sine,
    /// 0.1·ln(factor) + 1 unless given.
    case yarn(
      factor: Double, originalContext: Int, betaFast: Double = 32, betaSlow: Double = 1,
      attentionFactor: Double? = nil)
    /// Dynamic NTK: beyond the original context the base grows with the sequence, by
    /// (factor·L/context − (factor − 1))^(d/(d − 2)) for a sequence of L tokens.
    case dynamicNTK(factor: Double, originalContext: Int)
    /// LongRoPE (arXiv 2402.13753), called `su` too: frequencies divided each by its own factor,
    /// others for sequences longer than the original context; and a factor on cosine and sine,
    /// √(1 + ln(context/originalContext) / ln(originalContext)) unless given.
    case longRoPE(
      shortFactors: [Double], longFactors: [Double], context: Int, originalContext: Int,
      attentionFactor: Double? = nil)
  }

  /// Why an embedding could not be made.
  public enum Failure: Error, Hashable {
    /// The dimension is not a positive even number.
    case dimension(Int)
    /// A parameter is not a positive number in its range.
    case parameter(String, Double)
    /// There is not one factor for every frequency.
    case factorCount(expected: Int, found: Int)
  }

  /// Which elements of a head turn together.
  public let pairing: Pairing

  /// The turned elements of a head, its first ones; the rest stays.
  public let dimension: Int

  /// Radians per position of each of the `dimension / 2` pairs.
  public let frequencies: [Double]

  /// What cosine and sine are multiplied by; 1 except for YaRN and LongRoPE.
  public let amplitude: Double

  /// What the frequencies are powers of, before scaling.
  public let base: Double

  /// How frequencies are changed for long contexts.
  public let scaling: Scaling

  /// Makes an embedding with frequencies base^(−2i/dimension), scaled.
  ///
  /// - Parameters:
  ///   - pairing: Which elements of a head turn together.
  ///   - dimension: The turned elements of a head, positive and even.
  ///   - base: What the frequencies are powers of.
  ///   - scaling: How frequencies are changed for long contexts.
  ///   - sequenceLength: The tokens of the longest sequence, which dynamic NTK and LongRoPE look
  ///     at. All of a sequence's keys must be turned by one embedding.
  public init(
    pairing: Pairing, dimension: Int, base: Double = 10_000, scaling: Scaling = .none,
    sequenceLength: Int = 0
  ) throws(Failure) {
    guard dimension > 0, dimension % 2 == 0 else { throw .dimension(dimension) }
    try Self.require(base, "base")
    self.pairing = pairing
    self.dimension = dimension
    self.base = base
    self.scaling = scaling
    func plain(_ base: Double) -> [Double] {
      (0..<dimension / 2).map { pow(base, -2 * Double($0) / Double(dimension)) }
    }
    if case .dynamicNTK(let factor, let context) = scaling {
      frequencies = plain(
        try Self.dynamicBase(base, factor, context, dimension, sequenceLength: sequenceLength))
    } else {
      frequencies = try Self.scaled(
        plain(base), scaling, base: base, sequenceLength: sequenceLength)
    }
    amplitude = Self.amplitude(scaling)
  }

  /// The same embedding for sequences of another length; another one only for dynamic NTK and
  /// LongRoPE.
  public func adapted(toSequenceLength length: Int) throws(Failure) -> RotaryEmbedding {
    try RotaryEmbedding(
      pairing: pairing, dimension: dimension, base: base, scaling: scaling, sequenceLength: length)
  }

  private static func amplitude(_ scaling: Scaling) -> Double {
    switch scaling {
    case .yarn(let factor, _, _, _, let attention):
      attention ?? (factor > 1 ? 0.1 * log(factor) + 1 : 1)
    case .longRoPE(_, _, let context, let original, let attention):
      attention
        ?? (context > original
          ? (1 + log(Double(context) / Double(original)) / log(Double(original))).squareRoot() : 1)
    default: 1
    }
  }

  private static func dynamicBase(
    _ base: Double, _ factor: Double, _ context: Int, _ dimension: Int, sequenceLength: Int
  ) throws(Failure) -> Double {
    try require(factor, "factor")
    try require(Double(context), "original context")
    guard dimension > 2 else { throw .dimension(dimension) }
    let length = Double(max(sequenceLength, context))
    let growth = factor * length / Double(context) - (factor - 1)
    return base * pow(growth, Double(dimension) / Double(dimension - 2))
  }

  private static func require(_ value: Double, _ name: String) throws(Failure) {
    guard value > 0, value.isFinite else { throw .parameter(name, value) }
  }

  private static func divided(_ plain: [Double], by factors: [Double]) throws(Failure) -> [Double] {
    guard factors.count == plain.count else {
      throw .factorCount(expected: plain.count, found: factors.count)
    }
    for factor in factors { try require(factor, "frequency factor") }
    return zip(plain, factors).map { $0 / $1 }
  }

  private static func scaled(
    _ plain: [Double], _ scaling: Scaling, base: Double, sequenceLength: Int
  ) throws(Failure) -> [Double] {
    switch scaling {
    case .none, .dynamicNTK:
      return plain
    case .linear(let factor):
      try require(factor, "factor")
      return plain.map { $0 / factor }
    case .perFrequency(let factors):
      return try divided(plain, by: factors.map(Double.init))
    case .longRoPE(let short, let long, let context, let original, let attention):
      try require(Double(context), "context")
      try require(Double(original) - 1, "original context minus 1")
      if let attention { try require(attention, "attention factor") }
      let scaled = (try divided(plain, by: short), try divided(plain, by: long))
      return sequenceLength > original ? scaled.1 : scaled.0
    case .llama3(let factor, let low, let high, let context):
      try require(factor, "factor")
      try require(low, "low frequency factor")
      try require(high - low, "high minus low frequency factor")
      try require(Double(context), "original context")
      return plain.map { frequency in
        // Turns over the original context.
        let turns = Double(context) * frequency / (2 * .pi)
        let kept = min(max((turns - low) / (high - low), 0), 1)
        return frequency * (kept + (1 - kept) / factor)
      }
    case .yarn(let factor, let context, let betaFast, let betaSlow, let attention):
      try require(factor, "factor")
      try require(Double(context), "original context")
      try require(betaFast, "beta fast")
      try require(betaSlow, "beta slow")
      try require(base - 1, "base minus 1")
      if let attention { try require(attention, "attention factor") }
      // The index of the pair that turns `turns` times over the original context.
      let count = Double(plain.count)
      func index(_ turns: Double) -> Double {
        count * log(Double(context) / (turns * 2 * .pi)) / log(base)
      }
      let low = max(index(betaFast).rounded(.down), 0)
      let high = min(index(betaSlow).rounded(.up), 2 * count - 1)
      let width = high == low ? 0.001 : high - low
      return plain.enumerated().map { i, frequency in
        let divided = min(max((Double(i) - low) / width, 0), 1)
        return frequency * (1 - divided + divided / factor)
      }
    }
  }
}

extension RotaryEmbedding.Failure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .dimension(let dimension):
      "rotary embedding: dimension \(dimension); expected a positive even number"
    case .parameter(let name, let value):
      "rotary embedding: \(name) is \(value); expected a positive finite number"
    case .factorCount(let expected, let found):
      "rotary embedding: \(found) frequency factors; expected \(expected)"
    }
  }
}
