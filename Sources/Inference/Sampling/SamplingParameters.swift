internal import Devices
internal import LanguageModels
public import Tokenizers

/// How the next token is chosen from the logits.
///
/// Applied in this order: bias, penalties, temperature, top-k, top-p, min-p, then one random draw.
/// Temperature 0 is greedy: the largest logit, the lowest id among equals.
public struct SamplingParameters: Sendable, Hashable {
  /// Divides the logits; 0 is greedy.
  public var temperature: Float = 0
  /// Only the `topK` most probable tokens stay; 0 keeps all.
  public var topK = 0
  /// Only the smallest set of most probable tokens whose probabilities sum to at least `topP` stays.
  public var topP: Float = 1
  /// Only tokens at least `minP` times as probable as the most probable one stay.
  public var minP: Float = 0
  /// The stream of random numbers.
  public var seed: UInt64 = 0
  /// Subtracted from the logit of every token that was generated before (OpenAI's), −2 to 2.
  public var presencePenalty: Float = 0
  /// Subtracted from a token's logit for each time it was generated before (OpenAI's), −2 to 2.
  public var frequencyPenalty: Float = 0
  /// Divides the positive and multiplies the negative logits of tokens of the prompt and of those
  /// generated before (CTRL: arXiv 1909.05858, §4.1); 1 changes nothing.
  public var repetitionPenalty: Float = 1
  /// Added to the logits of some tokens; −∞ forbids one.
  public var logitBias: [TokenID: Float] = [:]

  /// Greedy choice.
  public init() {}

  /// Which tokens may be drawn.
  var filter: SamplingFilter { SamplingFilter(topK: topK, topP: topP, minP: minP) }

  /// The draw of the token at `position` of its sequence: a function of these, the seed and the position.
  func draw(row: Int, seed: UInt64, position: Int) -> TokenDraw {
    TokenDraw(
      row: row, temperature: temperature, filter: filter,
      random: .init(seed: seed, counter: UInt64(truncatingIfNeeded: position)))
  }

  /// Whether logits are drawn from as they are: no bias and no penalties.
  var leavesLogits: Bool {
    logitBias.isEmpty && repetitionPenalty == 1 && presencePenalty == 0 && frequencyPenalty == 0
  }

  /// What is wrong with a parameter.
  public struct Invalid: Error, Hashable, CustomStringConvertible {
    /// What is wrong, where, and what was expected.
    public let description: String
  }

  /// Throws where a parameter is out of its range.
  public func validate() throws(Invalid) {
    func check(_ valid: Bool, _ name: String, _ value: some Any, _ expected: String)
      throws(Invalid)
    {
      guard valid else { throw Invalid(description: "\(name) is \(value); expected \(expected)") }
    }
    try check(
      temperature >= 0 && temperature.isFinite, "temperature", temperature,
      "a finite number of at least 0")
    try check(topK >= 0, "top-k", topK, "a number of at least 0 (0 keeps all)")
    try check(topP > 0 && topP <= 1, "top-p", topP, "a number above 0 and at most 1")
    try check(minP >= 0 && minP <= 1, "min-p", minP, "a number from 0 to 1")
    for (name, penalty) in [
      ("presence penalty", presencePenalty), ("frequency penalty", frequencyPenalty),
    ] {
      try check(abs(penalty) <= 2, name, penalty, "a number from -2 to 2")
    }
    try check(
      repetitionPenalty > 0 && repetitionPenalty.isFinite, "repetition penalty",
      repetitionPenalty, "a finite number above 0")
    for (token, bias) in logitBias {
      try check(
        !bias.isNaN && bias < .infinity, "the logit bias of token \(token)", bias,
        "a number below infinity")
    }
  }
}
