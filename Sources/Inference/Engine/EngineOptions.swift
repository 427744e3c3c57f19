public import LanguageModels
public import Tensors

/// How an engine stores keys and values, and how much it does at once.
public struct EngineOptions: Sendable {
  /// The element type of cached keys and values: `.float32`, `.float16` or `.bfloat16`.
  public var kvType = ElementType.float16
  /// The most tokens of a sequence, prompt and answer; by default what the model was trained for.
  public var context: Int?
  /// The most tokens that run through the model in one step, of all sequences together.
  ///
  /// A long prompt is cut into chunks of at most so many, between which other sequences go on.
  public var tokenBudget = 512
  /// The most of them that are prompts', beyond one for each, while others generate.
  ///
  /// A step is the time between two tokens of an answer: small chunks keep it short, large ones
  /// compute prompts a little faster.
  public var prefillBudget = 128
  /// The most sequences that run at a time; a request of n counts n times.
  public var maxRunning = 256
  /// The most requests that wait to run; another one is refused as overloaded.
  public var maxWaiting = 1_024
  /// The most bytes for cached keys and values; the pool has as many pages as fit.
  ///
  /// Memory is taken as pages are first written. By default 1 GiB, or one whole context where that
  /// is more; on a GPU, which takes it at once, what is free there beside a tenth for activations, or as
  /// much as all running sequences can use.
  public var kvMemory: Int?
  /// The pages of the pool; by default what `kvMemory` gives.
  public var pageCount: Int?
  /// The tokens of a page.
  public var pageSize = 16
  /// Whether keys and values of finished and running sequences serve others that begin alike.
  public var prefixCaching = true
  /// Whether attention reads pages that several sequences share once for all of them.
  ///
  /// Faster where many sequences share a long beginning. The bits of a sequence then depend on its
  /// neighbours, and a token whose logit is within rounding of another's may differ from a run
  /// alone. Without, every token is the same alone and in any batch; a GPU's matrix products do not
  /// promise that, and round differently for other numbers of rows.
  public var composes = false
  /// How several tokens of a sequence are guessed and verified in one step.
  public var speculation = Speculation.off
  /// First tokens that always stay visible in endless generation; used with `window`.
  public var attentionSinks = 4
  /// Where set, a sequence attends to its first `attentionSinks` tokens and its last `window` ones,
  /// so that it may grow beyond the context in constant memory (StreamingLLM: arXiv 2309.17453).
  public var window: Int?

  /// Where drafts come from (Leviathan et al., arXiv 2211.17192).
  public enum Speculation: Sendable {
    /// One token a step.
    case off
    /// What followed the last tokens where they occurred before in the sequence, at most `tokens`.
    case promptLookup(tokens: Int)
    /// A smaller model with the same vocabulary guesses `tokens` at a time.
    case draft(ModelBundle, tokens: Int)
  }

  /// Half-precision cache, reproducible answers, no speculation.
  public init() {}
}
