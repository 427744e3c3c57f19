/// What an engine does and has done.
public struct EngineStatistics: Sendable, Hashable {
  /// Sequences that run.
  public var running = 0
  /// Requests that wait to run, those that were preempted among them.
  public var waiting = 0
  /// Pages of the pool.
  public var pages = 0
  /// Pages that running sequences hold.
  public var usedPages = 0
  /// Pages that only the prefix cache holds, free for the taking.
  public var cachedPages = 0
  /// Prompt tokens that were looked up in the prefix cache.
  public var prefixQueries = 0
  /// Prompt tokens that the prefix cache held.
  public var prefixHits = 0
  /// Sequences that lost their pages to older ones and were computed again.
  public var preemptions = 0
  /// Tokens of the prompts that were admitted.
  public var promptTokens = 0
  /// Tokens that were generated.
  public var generationTokens = 0
  /// Requests that ended, by what ended them.
  public var finished: [String: Int] = [:]
  /// Steps of the model.
  public var steps = 0
  /// Of these, steps that were asked for before the tokens of the step before were known: on a GPU, where
  /// these are drawn there.
  public var stepsAhead = 0
  /// Rows of all steps.
  public var stepTokens = 0
  /// Tokens that speculation proposed.
  public var draftTokens = 0
  /// Of these, tokens that were accepted.
  public var acceptedTokens = 0
  /// Time in which the model ran.
  public var modelTime = Duration.zero
  /// Time of everything else in steps: scheduling, sampling, events.
  public var hostTime = Duration.zero

  /// The share of the pool that running sequences hold, 0 to 1.
  public var kvUsage: Double { pages > 0 ? Double(usedPages) / Double(pages) : 0 }

  /// All zero.
  public init() {}
}
