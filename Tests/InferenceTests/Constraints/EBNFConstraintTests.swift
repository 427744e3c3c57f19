import Inference
import Tensors
import Testing
import Tokenizers

@Suite struct EBNFConstraintTests {
  static func accepts(_ grammar: String, _ text: String) throws -> Bool {
    let constraint = try TokenConstraint(
      .ebnf(grammar), tokenizer: try TestVocabulary.byteLevel([]))
    var state = constraint.makeState()
    return (text.isEmpty || state.advance(bytes: text.utf8)) && state.isComplete
  }

  static let arithmetic = """
    # sums of products
    root   ::= sum "\\n"?
    sum    ::= product (blank [-+] blank product)*
    product ::= factor
      | factor "*" product   # to the right
    factor ::= ( [0-9]{1,3}
      | "(" sum
      ")" ) | "\\"" [^"\\\\\\n]* "\\""
    blank ::= " "?
    """

  @Test(arguments: [
    ("1", true), ("1 + 22*(3-4)", true), ("(((7)))", true), ("\"a b\"*2\n", true), ("1234", false),
    ("1 +", false), ("(1", false), ("", false), ("1  + 2", false), ("1\n\n", false),
  ])
  func rulesAreFollowed(_ text: String, isMatch: Bool) throws {
    #expect(try Self.accepts(Self.arithmetic, text) == isMatch)
  }

  @Test func repetitions() throws {
    for (suffix, counts) in [
      ("*", 0...9), ("+", 1...9), ("?", 0...1), ("{3}", 3...3), ("{2,}", 2...9), ("{,4}", 0...4),
      ("{ 2 , 4 }", 2...4),
    ] {
      for count in 0...9 {
        let text = String(repeating: "ab", count: count)
        #expect(
          try Self.accepts("root ::= (\"a\" \"b\")\(suffix)", text) == counts.contains(count))
      }
    }
    #expect(try Self.accepts("root ::= \"\\x41\\u00e9\\U0001F642\" [\\x30-\\x39\\]]", "Aé🙂]"))
  }

  /// Nesting needs a stack: brackets match.
  @Test func bracketsMatch() throws {
    let grammar = "root ::= (\"(\" root \")\" | \"[\" root \"]\")*"
    var random = SplitMix(state: 3)
    let constraint = try TokenConstraint(
      .ebnf(grammar), tokenizer: try TestVocabulary.byteLevel([]))
    for _ in 0..<400 {
      let text = (0..<8).map { _ in ["(", ")", "[", "]"][Int(random.next() % 4)] }
      var open: [String] = []
      let isBalanced =
        text.allSatisfy { bracket in
          switch bracket {
          case "(", "[":
            open.append(bracket)
            return true
          default: return open.popLast() == (bracket == ")" ? "(" : "[")
          }
        } && open.isEmpty
      var state = constraint.makeState()
      let taken = state.advance(bytes: text.joined().utf8)
      #expect((taken && state.isComplete) == isBalanced)
    }
  }

  /// Deep nesting ends at a bound, from which the text can still be finished.
  @Test func nestingIsBounded() throws {
    let tokenizer = try TestVocabulary.byteLevel([Array("((((((((((((((((((((".utf8)])
    let constraint = try TokenConstraint(
      .ebnf("root ::= \"(\" root \")\" | \"x\" pair \"y\"\npair ::= \"(\" pair \")\" | \"-\""),
      tokenizer: tokenizer)
    var state = constraint.makeState()
    var mask = TokenMask(count: 0)
    var depth = 0
    while state.advance(TokenID(UInt8(ascii: "("))) {
      depth += 1
      if depth % 97 == 0 || depth > 500 {
        try state.fillMask(&mask)
        #expect(mask.allowed == bruteForceMask(state, tokenizer))
      }
    }
    #expect(depth > 400 && depth < 600)
    check(state.advance(bytes: "x-y".utf8))
    check(state.advance(bytes: Array(repeating: UInt8(ascii: ")"), count: depth)))
    #expect(state.isComplete)
  }

  /// A text that may have been derived in more ways than can be told apart in time ends with an error
  /// rather than a wait, and others of the same grammar go on.
  @Test func ambiguityIsGivenUpInTime() throws {
    let rules = (0..<40).map { i in
      "s\(i) ::= \"b\" | "
        + (0..<10).map { j in "\"a\" s\((i * 7 + j) % 40) s\((i * 11 + 3 * j) % 40)" }
        .joined(separator: " | ")
    }
    let tokenizer = try TestVocabulary.byteLevel([Array("aaaaaaaaaaaaaaaaaaaaaaaa".utf8)])
    let constraint = try TokenConstraint(
      .ebnf("root ::= s0 | s1 | s2\n" + rules.joined(separator: "\n")), tokenizer: tokenizer)
    var mask = TokenMask(count: 0)
    var state = constraint.makeState()
    var isGivenUp = false
    for _ in 0..<600 where !isGivenUp {
      do {
        try state.fillMask(&mask)
        isGivenUp = !state.advance(bytes: "a".utf8)
      } catch {
        guard case .tooComplex = error else { throw error }
        isGivenUp = true
      }
    }
    #expect(isGivenUp)
    var other = constraint.makeState()
    check(other.advance(bytes: "b".utf8))
    #expect(other.isComplete)
  }

  @Test(arguments: [
    ("root ::= \"a", 1, 10), ("root ::= \"a\"\nx = \"b\"", 2, 3), ("root ::= missing", 1, 10),
    ("root ::= (\"a\"\n", 1, 10), ("root ::= [a", 1, 10), ("root ::= \"\\q\"", 1, 11),
    ("root ::= \"a\"\n\nroot ::= \"b\"", 3, 1), ("root ::= \"a\"{3,2}", 1, 13),
    ("root ::= [b-a]", 1, 11), ("other ::= \"a\"", 1, 14), ("root ::= \"a\" ) b", 1, 14),
    ("root ::= @", 1, 10), ("root ::= \"a\"{1000000}", 1, 14), ("root ::= \"\\ud800\"", 1, 11),
    ("", 1, 1), ("::=", 1, 1),
  ])
  func mistakesHaveAPlace(_ grammar: String, line: Int, column: Int) throws {
    let tokenizer = try TestVocabulary.byteLevel([])
    let error = #expect(throws: ConstraintError.self) {
      try TokenConstraint(.ebnf(grammar), tokenizer: tokenizer)
    }
    guard case .grammar(let foundLine, let foundColumn, _)? = error else {
      Issue.record("\(grammar): \(String(describing: error))")
      return
    }
    #expect((foundLine, foundColumn) == (line, column), "\(grammar): \(String(describing: error))")
  }

  @Test(arguments: [
    "root ::= root \"a\" | \"b\"", "root ::= a\na ::= b? a \"x\" | \"y\"\nb ::= \"b\"",
    "root ::= \"a\" root", "root ::= a \"x\"\na ::= b\nb ::= (\"q\"? a) | \"z\"",
    "root ::= ((\"a\"{1000}){1000}){1000}",
    "root ::= " + String(repeating: "(", count: 20_000) + "\"a\"",
  ])
  func hostileGrammarsAreRefused(_ grammar: String) throws {
    let tokenizer = try TestVocabulary.byteLevel([])
    #expect(throws: ConstraintError.self) {
      try TokenConstraint(.ebnf(grammar), tokenizer: tokenizer)
    }
  }
}
