import Tokenizers

/// A request that the engine has taken.
final class EngineRequest {
  let id: UInt64
  let request: InferenceRequest
  let sink: EventSink
  /// Sequences that have not ended.
  var open: Int
  /// Sequences that were cancelled before they began.
  var cancelled: Set<Int> = []
  /// Whether it has run, and so no longer counts as waiting.
  var hasRun = false
  /// Prompt tokens that the prefix cache held when it first ran.
  var cachedTokens = 0
  /// The prompt's tokens with probabilities, as far as they are known.
  var promptOutputs: [TokenOutput] = []
  /// Tokens that end a sequence.
  let endTokens: Set<TokenID>
  /// For the repetition penalty, the tokens of the prompt.
  let promptTokens: Set<TokenID>

  init(_ submission: Submission, endOfGeneration: Set<TokenID>) {
    id = submission.id
    request = submission.request
    sink = submission.sink
    open = submission.request.n
    var ends = submission.request.stopTokens
    if !request.ignoresEndOfGeneration || request.constraint != nil {
      ends.formUnion(endOfGeneration)
    }
    endTokens = ends
    promptTokens = request.sampling.repetitionPenalty == 1 ? [] : Set(request.prompt)
  }

  /// Whether hidden vectors are wanted, not tokens.
  var isEmbedding: Bool {
    if case .embedding = sink { true } else { false }
  }
}

/// One sequence of a request: its tokens, and as many of their keys and values as are computed.
///
/// Computed tokens chase all tokens: whether those are a prompt's, tokens that were just drawn, or
/// both after a preemption makes no difference.
final class EngineSequence {
  let owner: EngineRequest
  /// Which of its request's sequences.
  let index: Int
  var tokens: [TokenID]
  /// The place, among the draws of the step in flight, of the token that follows and is not known yet.
  var unseen: Int?
  /// The tokens whose keys and values are in pages.
  var computed = 0
  /// Pages in the order of their tokens.
  var pages: [Int32] = []
  /// Tokens, whole pages of them, that were given up between the sinks and the window.
  var dropped = 0
  /// Whole pages, from the first on, that the prefix cache has.
  var cachedPages = 0
  /// Sequences that are to follow the same prompt and do not exist yet.
  var forks: Int
  /// How often each token was generated, where a penalty asks.
  var counts: [TokenID: Int] = [:]
  /// Sums of hidden vectors, for an embedding.
  var pooled: [Float] = []
  /// What its text may go on with.
  var constraint: ConstraintState?
  /// Why it ended.
  var finish: FinishReason?
  /// What happened since the last event.
  var news: [TokenOutput] = []

  /// The tokens of which the draft model has keys and values in the same pages.
  var draftComputed = 0

  // The step being made.

  /// Rows of tokens from `computed` on.
  var scheduled = 0
  /// Guesses that are verified after them, a row each.
  var draft = SequenceDraft()
  /// The guess after which the next token is to be drawn; −1 stands for the last token.
  var node = -1

  init(_ owner: EngineRequest, index: Int, forks: Int = 0) {
    self.owner = owner
    self.index = index
    self.forks = forks
    tokens = owner.request.prompt
    constraint = owner.request.constraint?.makeState()
  }

  /// Its place in the order of arrival.
  func isOlder(than other: EngineSequence) -> Bool {
    (owner.id, index) < (other.owner.id, other.index)
  }

  /// The places of sequences that it needs to run.
  var slots: Int { forks + 1 }

  /// Tokens drawn so far, as far as they are known.
  var generated: Int { tokens.count - owner.request.prompt.count }

  /// All tokens, one that is not known yet among them.
  var length: Int { tokens.count + (unseen == nil ? 0 : 1) }

  /// The stream of its random numbers: the request's for the first sequence.
  var seed: UInt64 {
    owner.request.sampling.seed &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15
  }

  var usage: TokenUsage {
    var usage = TokenUsage()
    usage.promptTokens = owner.request.prompt.count
    usage.cachedTokens = owner.cachedTokens
    usage.generatedTokens = generated
    return usage
  }
}
