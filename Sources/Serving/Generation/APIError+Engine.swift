import Inference

extension APIError {
  /// What the engine refuses, for clients.
  init(_ failure: EngineFailure) {
    switch failure {
    case .overloaded(let after):
      self = .overloaded(
        "too many requests wait already",
        // Whole seconds, rounded up.
        retryAfter: max(1, Int((after / .seconds(1)).rounded(.up))))
    case .stopped: self = .overloaded("the server is shutting down", retryAfter: 5)
    case .cancelled: self = .clientLeft
    case .model: self = .server(failure.description)
    case .emptyPrompt, .promptTooLong, .doesNotFit, .token, .invalid:
      self = .invalid(nil, failure.description, code: "invalid_value")
    }
  }
}
