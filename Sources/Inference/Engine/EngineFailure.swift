/// Why an engine could not be made or refused a request.
public enum EngineFailure: Error, Sendable, Hashable {
  /// As many requests wait as may wait; worth another try after a while.
  case overloaded(retryAfter: Duration)
  /// The engine has stopped, or takes no more requests because it is about to.
  case stopped
  /// The prompt has no tokens.
  case emptyPrompt
  /// The prompt leaves no room for a single token.
  case promptTooLong(tokens: Int, context: Int)
  /// The request needs more pages than the whole pool has.
  case doesNotFit(pages: Int, pool: Int)
  /// A token is not in the vocabulary.
  case token(id: Int, index: Int, vocabularySize: Int)
  /// A parameter of the request or an option is out of its range.
  case invalid(parameter: String, problem: String)
  /// The model or the pool could not be run.
  case model(String)
  /// The request was cancelled.
  case cancelled
}

extension EngineFailure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .overloaded(let after): "the queue is full; try again in \(after)"
    case .stopped: "the engine takes no more requests"
    case .emptyPrompt: "the prompt has no tokens; expected at least one"
    case .promptTooLong(let tokens, let context):
      "the prompt has \(tokens) tokens; the context of \(context) leaves room for at most "
        + "\(context - 1)"
    case .doesNotFit(let pages, let pool):
      "the request may need \(pages) pages of keys and values; the pool has \(pool)"
    case .token(let id, let index, let size):
      "token \(index) is \(id); expected an id from 0 to \(size - 1)"
    case .invalid(let parameter, let problem): "\(parameter) \(problem)"
    case .model(let text): text
    case .cancelled: "the request was cancelled"
    }
  }
}
