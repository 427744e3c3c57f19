import LanguageModels
import Tokenizers

/// What a request may ask for; checked before it reaches the engine's thread.
struct RequestLimits: Sendable {
  let context: Int
  let vocabularySize: Int
  let pageCount: Int
  let pageSize: Int
  let maxRunning: Int
  /// Where the engine generates endlessly, the pages that a sequence never exceeds.
  let streamingPages: Int?

  /// The most pages that a sequence of `tokens` tokens ever holds.
  func pages(tokens: Int) -> Int {
    let pages = (tokens + pageSize - 1) / pageSize
    return min(pages, streamingPages ?? pages)
  }

  /// The most tokens with keys that a sequence of the request can have.
  func longest(_ request: InferenceRequest) -> Int {
    // The last token needs no key.
    min(context, request.prompt.count + request.maxTokens - 1)
  }

  func check(_ request: InferenceRequest) throws(EngineFailure) {
    try check(prompt: request.prompt)
    guard request.prompt.count < context || streamingPages != nil else {
      throw .promptTooLong(tokens: request.prompt.count, context: context)
    }
    do throws(SamplingParameters.Invalid) {
      try request.sampling.validate()
    } catch {
      throw .invalid(parameter: "sampling:", problem: error.description)
    }
    for token in request.sampling.logitBias.keys { try check(token, index: 0) }
    try check(
      (1...maxRunning).contains(request.n), "n",
      "is \(request.n); expected 1 to \(maxRunning) sequences")
    try check(
      (1...1 << 30).contains(request.maxTokens), "max tokens",
      "is \(request.maxTokens); expected at least 1")
    try check(
      request.minTokens >= 0 && request.minTokens <= request.maxTokens, "min tokens",
      "is \(request.minTokens); expected 0 to the \(request.maxTokens) tokens of the limit")
    if let logprobs = request.logprobs {
      try check(
        (0...vocabularySize).contains(logprobs), "logprobs",
        "is \(logprobs); expected 0 to the vocabulary's \(vocabularySize)")
    }
    let pages = pages(tokens: longest(request))
    guard pages <= pageCount else { throw .doesNotFit(pages: pages, pool: pageCount) }
  }

  func check(embedding prompt: [TokenID]) throws(EngineFailure) {
    try check(prompt: prompt)
    guard prompt.count <= context else {
      throw .promptTooLong(tokens: prompt.count, context: context + 1)
    }
    let pages = pages(tokens: prompt.count)
    guard pages <= pageCount else { throw .doesNotFit(pages: pages, pool: pageCount) }
  }

  private func check(prompt: [TokenID]) throws(EngineFailure) {
    guard !prompt.isEmpty else { throw .emptyPrompt }
    for (i, token) in prompt.enumerated() { try check(token, index: i) }
  }

  private func check(_ token: TokenID, index: Int) throws(EngineFailure) {
    guard token >= 0, Int(token) < vocabularySize else {
      throw .token(id: Int(token), index: index, vocabularySize: vocabularySize)
    }
  }

  private func check(_ isValid: Bool, _ name: String, _ problem: String) throws(EngineFailure) {
    guard isValid else { throw .invalid(parameter: name, problem: problem) }
  }
}
