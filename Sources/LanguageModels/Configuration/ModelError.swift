/// Why a checkpoint could not be made into a model, or a step could not run.
public enum ModelError: Error, Hashable, Sendable {
  /// The architecture is none that this build knows.
  case unknownArchitecture(String, known: [String])
  /// A key of the checkpoint's metadata is missing or has an unusable value.
  case metadata(key: String, expected: String, found: String)
  /// A tensor is missing.
  case missingTensor(String)
  /// A tensor has another shape than the metadata says.
  case shape(tensor: String, expected: [Int], found: [Int])
  /// A tensor cannot be used as stored.
  case tensor(String, problem: String)
  /// A token is not in the vocabulary.
  case token(id: Int, index: Int, vocabularySize: Int)
  /// The sequence is longer than the cache or the model's context.
  case contextExceeded(tokens: Int, limit: Int)
  /// A step has not a token for every row, or more rows than its runner takes.
  case rows(tokens: Int, rows: Int, limit: Int)
  /// Tokens cannot be drawn, or gone on with, as a step asks.
  case draws(String)
  /// The memory for a buffer could not be had.
  case memory(bytes: Int, purpose: String)
  /// Ranks cannot compute the model together.
  case ranks(String)
  /// The path holds no model.
  case notAModel(path: String, problem: String)
}

extension ModelError: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .unknownArchitecture(let name, let known):
      "unknown architecture \"\(name)\"; this build runs \(known.joined(separator: ", "))"
    case .metadata(let key, let expected, let found):
      "the model's \(key) is \(found); expected \(expected)"
    case .missingTensor(let name):
      "the checkpoint has no tensor \(name)"
    case .shape(let tensor, let expected, let found):
      "tensor \(tensor) has shape \(found); expected \(expected)"
    case .tensor(let name, let problem):
      "tensor \(name): \(problem)"
    case .token(let id, let index, let vocabularySize):
      "token \(index) is \(id); expected an id from 0 to \(vocabularySize - 1)"
    case .contextExceeded(let tokens, let limit):
      "\(tokens) tokens do not fit into the context of \(limit)"
    case .rows(let tokens, let rows, let limit):
      "the step has \(tokens) tokens for \(rows) rows; expected as many of both, at most \(limit)"
    case .draws(let problem): "a step's draws: \(problem)"
    case .memory(let bytes, let purpose):
      "\(bytes >> 20) MiB for \(purpose) could not be had"
    case .ranks(let problem): "ranks: \(problem)"
    case .notAModel(let path, let problem):
      "\(path) is no model: \(problem)"
    }
  }
}
