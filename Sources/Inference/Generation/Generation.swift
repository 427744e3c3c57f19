public import Tokenizers

/// What a request for text asks for beside its prompt.
public struct GenerationOptions: Sendable, Hashable {
  /// The most tokens to generate.
  public var maxTokens = 128
  /// How tokens are chosen.
  public var sampling = SamplingParameters()
  /// Strings that end the text and are not part of it.
  public var stops: [String] = []
  /// Whether the model's end-of-generation tokens are ignored.
  public var ignoresEndOfGeneration = false

  /// Greedy, 128 tokens, until the model ends.
  public init() {}
}

/// What came of a request for text.
public struct Generation: Sendable, Hashable {
  /// The prompt's tokens.
  public var promptTokens: [TokenID]
  /// How many of them were already in the cache from an earlier request.
  public var cachedTokens = 0
  /// The generated tokens, the end-of-generation token not among them.
  public var tokens: [TokenID] = []
  /// The generated text, up to a stop string.
  public var text = ""
  /// Why the text ended.
  public var finishReason = FinishReason.length
  /// From the request to the first token.
  public var prefillTime = Duration.zero
  /// From the first token to the last.
  public var decodeTime = Duration.zero

  /// Why a text ended.
  public enum FinishReason: String, Sendable, Hashable {
    /// The model ended it, or a stop string did.
    case stop
    /// The limit on tokens or the context's end was reached.
    case length
    /// The caller wanted no more.
    case cancelled
  }

  /// Prompt tokens computed per second.
  public var prefillRate: Double {
    Self.rate(promptTokens.count - cachedTokens, prefillTime)
  }

  /// Tokens generated per second after the first.
  public var decodeRate: Double { Self.rate(tokens.count - 1, decodeTime) }

  private static func rate(_ count: Int, _ time: Duration) -> Double {
    let seconds = time / .seconds(1)
    return count > 0 && seconds > 0 ? Double(count) / seconds : 0
  }
}
