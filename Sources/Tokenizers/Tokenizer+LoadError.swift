extension Tokenizer {
  /// Why a vocabulary or a `tokenizer.json` could not become a tokenizer.
  public enum LoadError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The vocabulary names a model family that is not implemented.
    case unknownModel(String)
    /// The vocabulary names a pre-tokenizer that is not implemented.
    case unknownPreTokenizer(String)
    /// The vocabulary has no tokens, or more than an id can number.
    case tokenCount(Int)
    /// Two ids have the same spelling.
    case duplicateToken(piece: String, first: TokenID, second: TokenID)
    /// A spelling is longer than any real vocabulary's.
    case tokenTooLong(id: TokenID, bytes: Int, limit: Int)
    /// A list that belongs to the tokens does not have one entry for each.
    case countMismatch(list: String, expected: Int, found: Int)
    /// A special token's id is not in the vocabulary.
    case idOutOfRange(name: String, id: Int64, count: Int)
    /// A merge rule is not two spellings.
    case malformedMerge(index: Int)
    /// A merge rule names, or results in, a token that the vocabulary lacks.
    case mergeOfUnknownToken(index: Int, piece: String)
    /// A score is not a finite number.
    case badScore(id: TokenID)
    /// The precompiled normalization table is not one.
    case malformedCharacterMap(String)
    /// The text is not JSON.
    case json(JSON.ParseError)
    /// A member of the JSON document is missing or of the wrong type.
    case expected(String, at: String)
    /// The JSON document asks for something that is not implemented.
    case unsupported(String, at: String)

    /// What is wrong, where, and what was expected.
    public var description: String {
      switch self {
      case .unknownModel(let name):
        "tokenizer model \"\(name)\" is not known (known: gpt2, llama, t5, bert, gemma4)"
      case .unknownPreTokenizer(let name): "pre-tokenizer \"\(name)\" is not known"
      case .tokenCount(let count): "a vocabulary of \(count) tokens; expected 1 to 16,777,216"
      case .duplicateToken(let piece, let first, let second):
        "tokens \(first) and \(second) are both \(piece.debugDescription)"
      case .tokenTooLong(let id, let bytes, let limit):
        "token \(id) is \(bytes) bytes long; expected at most \(limit)"
      case .countMismatch(let list, let expected, let found):
        "\(list): \(found) entries for \(expected) tokens"
      case .idOutOfRange(let name, let id, let count):
        "\(name) is \(id), outside the vocabulary of \(count) tokens"
      case .malformedMerge(let index):
        "merge \(index) is not two spellings with a space between them"
      case .mergeOfUnknownToken(let index, let piece):
        "merge \(index) needs the token \(piece.debugDescription), which the vocabulary lacks"
      case .badScore(let id): "the score of token \(id) is not a finite number"
      case .malformedCharacterMap(let why): "precompiled character map: \(why)"
      case .json(let error): error.description
      case .expected(let what, let path):
        "\(path.isEmpty ? "the document" : path): expected \(what)"
      case .unsupported(let what, let path): "\(path): \(what) is not supported"
      }
    }
  }
}
