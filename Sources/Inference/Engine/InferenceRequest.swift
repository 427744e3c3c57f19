public import Tokenizers

/// Sequences of tokens to generate after a prompt.
public struct InferenceRequest: Sendable {
  /// The prompt's tokens, at least one.
  public var prompt: [TokenID]
  /// How many sequences follow the prompt; they share its keys and values.
  public var n = 1
  /// The most tokens of each sequence; the context may end it before.
  public var maxTokens = 128
  /// How tokens are chosen.
  ///
  /// Sequences of one request draw from different streams of one seed.
  public var sampling = SamplingParameters()
  /// Tokens that end a sequence, beside the model's own; the token is not part of it.
  public var stopTokens: Set<TokenID> = []
  /// Whether the model's end-of-generation tokens are taken as any other.
  public var ignoresEndOfGeneration = false
  /// Tokens before which no end is allowed.
  public var minTokens = 0
  /// How many most probable tokens are reported beside each chosen one; `nil` reports no
  /// probabilities at all.
  public var logprobs: Int?
  /// Whether the prompt's own tokens are reported with their probabilities.
  public var promptLogprobs = false

  /// What the text may be; `nil` allows everything.
  ///
  /// A sequence whose text is complete may end, and does where nothing else is allowed. The model's
  /// end-of-generation tokens then always end it.
  public var constraint: TokenConstraint?

  /// One greedy sequence of at most 128 tokens.
  public init(prompt: [TokenID]) { self.prompt = prompt }
}

/// A token with what was asked about it.
public struct TokenOutput: Sendable, Hashable {
  /// The token.
  public var id: TokenID
  /// ln p(token) under the model, before temperature, penalties, bias and constraint.
  public var logprob: Float?
  /// The most probable tokens at its place, the likeliest first.
  public var top: [TokenLogprob] = []

  /// A token without probabilities.
  public init(id: TokenID) { self.id = id }
}

/// A candidate with its probability.
public struct TokenLogprob: Sendable, Hashable {
  /// The token.
  public var id: TokenID
  /// ln p(token) under the model.
  public var logprob: Float
}

/// What a sequence has cost.
public struct TokenUsage: Sendable, Hashable {
  /// Tokens of the prompt.
  public var promptTokens = 0
  /// Of these, tokens whose keys and values the prefix cache held.
  public var cachedTokens = 0
  /// Tokens generated, one that ended the sequence not among them.
  public var generatedTokens = 0

  /// Nothing.
  public init() {}
}

/// Why a sequence ended.
public enum FinishReason: Sendable, Hashable {
  /// The model ended it, or a stop token did.
  case stop
  /// The limit on tokens or the context's end was reached.
  case length
  /// It was cancelled, or the engine stopped.
  case cancelled
  /// It could not go on.
  case failed(String)
}

/// News of one sequence of a request.
public struct SequenceEvent: Sendable, Hashable {
  /// Which sequence, 0 to n − 1.
  public var sequence: Int
  /// The tokens that were added to it, often one.
  public var tokens: [TokenOutput] = []
  /// With the first event of sequence 0, where asked for: the prompt's tokens with their
  /// probabilities, which the first one has not.
  public var prompt: [TokenOutput] = []
  /// Why it ended; `nil` while it goes on.
  public var finish: FinishReason?
  /// What it has cost so far.
  public var usage = TokenUsage()

  /// An event without tokens.
  public init(sequence: Int) { self.sequence = sequence }
}
