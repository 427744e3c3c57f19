import Inference
import LanguageModels
import Tokenizers

/// What the engine is to do for one HTTP request: one or more prompts, each with some choices.
struct GenerationJob: Sendable {
  /// The prompts; choice `i` of prompt `p` has the index `p * choices + i`.
  var prompts: [[TokenID]]
  /// The request for a prompt, its own prompt left empty.
  var request: InferenceRequest
  /// Strings that end a choice's text.
  var stops: [String]
  /// Whether control tokens appear in the text.
  var showsSpecialTokens: Bool
  /// Whether the text goes on in the prompt's, so that a space between them belongs to it.
  var continuesPrompt: Bool

  /// A job for prompts that were checked.
  init(
    prompts: [[TokenID]], fields: GenerationFields, logprobs: Int?, promptLogprobs: Bool = false,
    constraint: TokenConstraint?, continuesPrompt: Bool, served: ServedModel
  ) {
    self.prompts = prompts
    self.continuesPrompt = continuesPrompt
    stops = fields.stops
    showsSpecialTokens = fields.showsSpecialTokens
    let longest = prompts.map(\.count).max() ?? 0
    request = InferenceRequest(prompt: [])
    // No tokens at all means one, not shown: the engine has no other way to read a prompt.
    request.maxTokens = max(fields.maxTokens ?? served.context - longest, 1)
    request.n = fields.choices
    request.sampling = fields.sampling
    request.stopTokens = fields.stopTokens
    request.ignoresEndOfGeneration = fields.ignoresEndOfGeneration
    request.minTokens = min(fields.minTokens, request.maxTokens)
    request.logprobs = logprobs
    request.promptLogprobs = promptLogprobs
    request.constraint = constraint
  }
}

/// A step of one choice.
struct ChoiceDelta: Sendable {
  /// Which choice, over all prompts.
  var index: Int
  /// Text that is now certain.
  var text = ""
  /// The tokens that made it.
  var tokens: [TokenOutput] = []
  /// The tokens generated so far.
  var completionTokens = 0
  /// Why the choice ended, in its last step.
  var finish: Finish?
  /// What the choice cost, in its last step.
  var usage: Usage?
  /// The prompt's tokens with their probabilities, in the first step, where they were asked for.
  var promptTokens: [TokenOutput] = []

  enum Finish: String, Sendable {
    case stop
    case length
  }

  init(index: Int) { self.index = index }

  mutating func append(_ piece: TextAssembler.Piece) {
    text += piece.text
    tokens += piece.tokens
  }
}

/// Tokens read, found in the cache and generated.
struct Usage: Sendable {
  var promptTokens = 0
  var cachedTokens = 0
  var completionTokens = 0

  /// Adds a choice; the prompt that choices share is counted with the first of them.
  mutating func add(_ delta: ChoiceDelta, choices: Int) {
    guard let usage = delta.usage else { return }
    completionTokens += usage.completionTokens
    guard delta.index % choices == 0 else { return }
    promptTokens += usage.promptTokens
    cachedTokens += usage.cachedTokens
  }

  var json: JSON {
    [
      "prompt_tokens": .integer(promptTokens), "completion_tokens": .integer(completionTokens),
      "total_tokens": .integer(promptTokens + completionTokens),
      "prompt_tokens_details": ["cached_tokens": .integer(cachedTokens)],
    ]
  }
}
