public import Devices
public import LanguageModels
public import Tokenizers

/// One sequence that grows by prompts and generated text, its keys and values kept between them.
///
/// A session is used by one thread at a time.
public final class Session {
  /// The model, its tokenizer and its chat template.
  public let bundle: ModelBundle

  /// Where the model runs.
  public let device: CPUDevice

  private let runner: ModelRunner
  /// The tokens whose keys and values are in the cache.
  private var history: [TokenID] = []

  /// What a prompt can be refused for.
  public enum Failure: Error, Hashable, CustomStringConvertible {
    /// There is nothing to continue.
    case emptyPrompt
    /// The prompt leaves no room for a single token.
    case promptTooLong(tokens: Int, context: Int)
    /// The model's logits are no numbers.
    case noToken(position: Int)

    /// What is wrong, where, and what was expected.
    public var description: String {
      switch self {
      case .emptyPrompt: "the prompt has no tokens; expected at least one"
      case .promptTooLong(let tokens, let context):
        "the prompt has \(tokens) tokens; the context of \(context) leaves room for at most "
          + "\(context - 1)"
      case .noToken(let position):
        "no logit at position \(position) is a number: the checkpoint may be damaged"
      }
    }
  }

  /// A session with an empty cache for `context` tokens, by default the model's own.
  public init(_ bundle: ModelBundle, device: CPUDevice, options: ModelRunner.Options = .init())
    throws
  {
    self.bundle = bundle
    self.device = device
    runner = try ModelRunner(bundle.model, device: device, options: options)
  }

  /// The most tokens the sequence can have.
  public var context: Int { runner.context }

  /// Throws where `prompt` is empty or leaves no room for a token.
  public func check(_ prompt: [TokenID]) throws(Failure) {
    guard !prompt.isEmpty else { throw .emptyPrompt }
    guard prompt.count < context else {
      throw .promptTooLong(tokens: prompt.count, context: context)
    }
  }

  /// Continues `prompt`, calling `onText` with each piece of text as it becomes certain.
  ///
  /// The longest beginning of `prompt` that the cache already holds is not computed again, so a
  /// conversation costs only its new turn. `onText` returns whether to go on.
  public func generate(
    _ prompt: [TokenID], options: GenerationOptions, onText: (String) -> Bool = { _ in true }
  ) throws -> Generation {
    try check(prompt)
    let sampler = try Sampler(options.sampling, device: device)
    var detokenizer = StreamingDetokenizer(bundle.tokenizer)
    var matcher = StopMatcher(options.stops)
    var result = Generation(promptTokens: prompt)
    let clock = ContinuousClock()
    let start = clock.now

    // The last prompt token is always computed: its logits choose the first new one.
    result.cachedTokens = zip(history, prompt.dropLast()).prefix { $0 == $1 }.count
    truncate(to: result.cachedTokens)
    var drawn = try next(prompt[result.cachedTokens...], sampler)
    var first: ContinuousClock.Instant?

    while result.tokens.count < options.maxTokens {
      guard let token = drawn else {
        throw Failure.noToken(position: history.count)
      }
      if first == nil {
        first = clock.now
        result.prefillTime = clock.now - start
      }
      if !options.ignoresEndOfGeneration, bundle.tokenizer.endOfGeneration.contains(token) {
        result.finishReason = .stop
        break
      }
      result.tokens.append(token)
      let shown = matcher.append(detokenizer.append(token))
      result.text += shown
      if !shown.isEmpty, !onText(shown) {
        result.finishReason = .cancelled
        break
      }
      if matcher.match != nil {
        result.finishReason = .stop
        break
      }
      if result.tokens.count == options.maxTokens || history.count == context { break }
      drawn = try next([token], sampler)
    }
    if result.finishReason != .cancelled, matcher.match == nil {
      let rest = matcher.append(detokenizer.finish()) + matcher.finish()
      result.text += rest
      if !rest.isEmpty { _ = onText(rest) }
      if matcher.match != nil { result.finishReason = .stop }
    }
    if let first { result.decodeTime = clock.now - first }
    return result
  }

  /// Takes tokens into the cache and draws the one that follows.
  private func next(_ tokens: ArraySlice<TokenID>, _ sampler: Sampler) throws -> TokenID? {
    let position = history.count + tokens.count
    let drawn =
      if runner.drawsTokens {
        try runner.extend(tokens, drawing: sampler.draw(position: position))
      } else {
        try runner.extend(tokens).withUnsafeBufferPointer {
          sampler.sample($0, position: position)
        }
      }
    history += tokens
    return drawn
  }

  private func truncate(to count: Int) {
    runner.truncate(to: count)
    history.removeLast(history.count - count)
  }
}
