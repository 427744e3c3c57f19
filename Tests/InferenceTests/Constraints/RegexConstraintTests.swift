import Inference
import Tensors
import Testing
import Tokenizers

@Suite struct RegexConstraintTests {
  static let patterns = [
    "[a-c]+", "(ab|a)(bc|c)?", "a{2,4}b{0,2}", "(x|yz)*y?", "[^a-y]{1,3}", "\\d{3}-\\d{4}",
    "(a|b)*a(a|b){3}", "\\w+@\\w+\\.(com|org)", "(?:[01]\\d|2[0-3]):[0-5]\\d", "a?b?c?", "(a*)*b",
    "[\\x61-\\x63\\u00e9]+", ".{2}", "(((a)))|", "\\S\\s\\S", "é|日本?|🙂{2}",
  ]

  static let words = [
    "a", "b", "c", "ab", "x", "y", "z", "yz", "0", "12", "-", "@", ".", "com", "org",
    ":", "é", "日", "本", "🙂", " ", "\n", "",
  ]

  static let disputed = Set(
    "\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{1f}\u{85}\u{180e}\u{feff}".unicodeScalars)

  /// Texts the automaton ends on are what Swift's own regular expressions match, and the other way
  /// round.
  @Test(arguments: patterns) func textsAreThoseOfSwiftRegex(_ pattern: String) throws {
    let tokenizer = try TestVocabulary.mixed(seed: 11)
    let constraint = try TokenConstraint(.regex(pattern), tokenizer: tokenizer)
    let regex = try Regex(pattern).matchingSemantics(.unicodeScalar)
    var sampler = ConstraintSampler(tokenizer: tokenizer, random: SplitMix(state: 11))
    for _ in 0..<60 {
      guard let bytes = try sampler.text(constraint, length: 12, most: 400) else { continue }
      let text = try #require(String(validating: bytes, as: UTF8.self))
      // Where Swift's classes are not ECMA-262's.
      if text.unicodeScalars.contains(where: Self.disputed.contains) { continue }
      #expect(text.wholeMatch(of: regex) != nil, "\(pattern) does not match \(text)")
    }
    var matched = 0
    for _ in 0..<4_000 {
      var text = ""
      for _ in 0...Int(sampler.random.next() % 6) {
        text += Self.words[Int(sampler.random.next() % UInt64(Self.words.count))]
      }
      var state = constraint.makeState()
      let taken = text.isEmpty || state.advance(bytes: text.utf8)
      let isMatch = text.wholeMatch(of: regex) != nil
      #expect((taken && state.isComplete) == isMatch, "\(pattern) on \(text)")
      matched += isMatch ? 1 : 0
    }
    #expect(
      matched > 0 || pattern.contains("{3}") || pattern.contains(":") || pattern.contains("@"))
  }

  @Test(arguments: [
    ("a(b", 1), ("a)b", 1), ("*a", 0), ("a**", 2), ("[a-", 0), ("[z-a]", 1), ("(?=a)b", 0),
    ("(?<!a)b", 0), ("(a)\\1", 3), ("a\\b", 1), ("a{3,1}", 1), ("a{1000000}", 2), ("\\q", 0),
    ("a^b", 1), ("a$b", 1), ("\\u12", 0), ("\\p{Nope}", 0), ("a{", 1), ("\\", 0), ("\\ud800", 0),
  ])
  func mistakesHaveAPlace(_ pattern: String, offset: Int) throws {
    let tokenizer = try TestVocabulary.byteLevel([])
    let error = #expect(throws: ConstraintError.self) {
      try TokenConstraint(.regex(pattern), tokenizer: tokenizer)
    }
    guard case .regex(let found, _)? = error else {
      Issue.record("\(pattern): \(String(describing: error))")
      return
    }
    #expect(found == offset, "\(pattern): \(String(describing: error))")
  }

  @Test(arguments: [
    "((a{100}){100}){100}", "(a|b)*a(a|b){40}", "a{99999}{3}", "(\\p{L}{100}){100}",
    String(repeating: "(", count: 5_000) + String(repeating: ")", count: 5_000),
    "(((a{1,99}){1,99}){1,99}){1,99}", "(.*.*.*.*){1000}x{90000}",
  ])
  func hostilePatternsAreRefused(_ pattern: String) throws {
    let tokenizer = try TestVocabulary.byteLevel([])
    #expect(throws: ConstraintError.self) {
      try TokenConstraint(.regex(pattern), tokenizer: tokenizer)
    }
  }

  @Test func nothingMatchesAnEmptyClass() throws {
    let tokenizer = try TestVocabulary.byteLevel([])
    let error = #expect(throws: ConstraintError.self) {
      try TokenConstraint(.regex("a[]"), tokenizer: tokenizer)
    }
    guard case .unsatisfiable? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
  }

  /// Only well-formed UTF-8 is text, whatever tokens there are.
  @Test func textIsWellFormed() throws {
    let tokenizer = try TestVocabulary.byteLevel([[0xf0, 0x9f], [0xed, 0xa0], [0xc0, 0x80]])
    let constraint = try TokenConstraint(.regex("[^a]+"), tokenizer: tokenizer)
    for bytes: [UInt8] in [
      [0x80], [0xc0, 0x80], [0xc1], [0xe0, 0x9f], [0xed, 0xa0], [0xf0, 0x8f], [0xf4, 0x90], [0xf5],
      [0xff], [0xe2, 0x82, 0x41], [0x61],
    ] {
      var state = constraint.makeState()
      check(!state.advance(bytes: bytes))
    }
    for scalar: Unicode.Scalar in [
      "\0", "b", "\u{7f}", "\u{80}", "\u{7ff}", "\u{800}", "\u{d7ff}",
      "\u{e000}", "\u{ffff}", "\u{10000}", "\u{10ffff}",
    ] {
      var state = constraint.makeState()
      let bytes = Array(String(scalar).utf8)
      for (i, byte) in bytes.enumerated() {
        check(state.advance(TokenID(byte)))
        #expect(state.isComplete == (i == bytes.count - 1))
      }
    }
  }
}
