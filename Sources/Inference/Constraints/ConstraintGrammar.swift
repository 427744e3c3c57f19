public import Tokenizers

/// What a generated text must be.
public enum ConstraintGrammar: Sendable, Equatable {
  /// A JSON text that satisfies a JSON Schema (2020-12; see `JSONSchemaCompiler` for the keywords).
  case jsonSchema(JSON)
  /// Any JSON object.
  case jsonObject
  /// A text that a regular expression (ECMA-262 syntax, without look-around and back-references)
  /// matches as a whole.
  case regex(String)
  /// A text of the rule `root` of a grammar in the notation of llama.cpp's GBNF.
  case ebnf(String)
  /// One of some texts.
  case choice([String])
}

extension ConstraintGrammar {
  /// The grammar as rules.
  func rules() throws(ConstraintError) -> Grammar {
    switch self {
    case .jsonSchema(let schema):
      var compiler = JSONSchemaCompiler(document: schema)
      return try compiler.grammar()
    case .jsonObject:
      var builder = GrammarBuilder()
      let json = JSONRules(&builder)
      return builder.grammar(root: json.object)
    case .regex(let pattern):
      var builder = GrammarBuilder()
      let root = builder.declare("regex")
      builder.define(root, try RegexPattern(pattern).wholeMatch())
      return builder.grammar(root: root)
    case .ebnf(let text):
      var parser = EBNFParser(text)
      return try parser.grammar()
    case .choice(let texts):
      if texts.isEmpty { throw .unsatisfiable("a choice of no texts") }
      var builder = GrammarBuilder()
      let root = builder.declare("choice")
      builder.define(root, .choice(texts.map { .text($0) }))
      return builder.grammar(root: root)
    }
  }
}
