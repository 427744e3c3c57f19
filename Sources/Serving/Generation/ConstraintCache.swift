import Inference
import Tokenizers

/// Compiled grammars; requests of one kind often come with the same.
actor ConstraintCache {
  private let tokenizer: Tokenizer
  private var trie: TokenTrie?
  /// Most recently used last.
  private var compiled: [TokenConstraint] = []

  private static let capacity = 32

  init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

  func constraint(_ grammar: ConstraintGrammar) throws(ConstraintError) -> TokenConstraint {
    if let place = compiled.firstIndex(where: { $0.grammar == grammar }) {
      let found = compiled.remove(at: place)
      compiled.append(found)
      return found
    }
    let trie = trie ?? TokenTrie(tokenizer)
    self.trie = trie
    let made = try TokenConstraint(grammar, trie: trie)
    if compiled.count == Self.capacity { compiled.removeFirst() }
    compiled.append(made)
    return made
  }
}

extension InferenceServer {
  /// The constraint for a request's grammar.
  func constraint(_ grammar: ConstraintGrammar?) async throws -> TokenConstraint? {
    guard let grammar else { return nil }
    do throws(ConstraintError) {
      return try await constraints.constraint(grammar)
    } catch {
      let field =
        switch grammar {
        case .jsonSchema, .jsonObject: "response_format"
        case .regex, .ebnf, .choice: "structured_outputs"
        }
      throw APIError.invalid(field, error.description, code: "invalid_grammar")
    }
  }
}
