import Testing
import Tokenizers

/// Vocabularies that are wrong end in typed errors, never in a trap.
struct LoadingTests {
  typealias LoadError = Tokenizer.LoadError

  static func small() -> GGUFVocabulary {
    var facts = GGUFVocabulary(model: "gpt2", tokens: ["a", "b", "ab", "<s>"])
    facts.pre = "gpt-2"
    facts.tokenTypes = [1, 1, 1, 3]
    facts.merges = ["a b"]
    facts.bos = 3
    return facts
  }

  @Test func theSmallVocabularyWorks() throws {
    let tokenizer = try Tokenizer(Self.small())
    #expect(tokenizer.encode("abab") == [2, 2])
    #expect(tokenizer.decode([2, 0, 3], skipSpecial: false) == "aba<s>")
  }

  static let faults: [(LoadError, @Sendable (inout GGUFVocabulary) -> Void)] = [
    (.unknownModel("nonsense"), { $0.model = "nonsense" }),
    (.unknownPreTokenizer("nonsense"), { $0.pre = "nonsense" }),
    (
      .tokenCount(0),
      {
        $0.tokens = []
        $0.tokenTypes = []
        $0.bos = nil
      }
    ),
    (.duplicateToken(piece: "a", first: 0, second: 1), { $0.tokens[1] = "a" }),
    (.countMismatch(list: "token types", expected: 4, found: 3), { $0.tokenTypes.removeLast() }),
    (.idOutOfRange(name: "bos_token_id", id: 4, count: 4), { $0.bos = 4 }),
    (.idOutOfRange(name: "eos_token_id", id: -2, count: 4), { $0.eos = -2 }),
    (.malformedMerge(index: 0), { $0.merges = ["ab"] }),
    (.malformedMerge(index: 1), { $0.merges = ["a b", "a "] }),
    (.mergeOfUnknownToken(index: 0, piece: "c"), { $0.merges = ["a c"] }),
    (.mergeOfUnknownToken(index: 0, piece: "ba"), { $0.merges = ["b a"] }),
    (.countMismatch(list: "scores", expected: 4, found: 0), { $0.model = "llama" }),
    (
      .badScore(id: 2),
      {
        $0.model = "llama"
        $0.scores = [0, 0, .nan, 0]
      }
    ),
    (
      .tokenTooLong(id: 0, bytes: 5000, limit: 1024),
      { $0.tokens[0] = String(repeating: "x", count: 5000) }
    ),
    (
      .malformedCharacterMap("trie of 4294967295 bytes in a table of 5"),
      {
        $0.model = "t5"
        $0.scores = [0, 0, 0, 0]
        $0.precompiledCharsMap = [255, 255, 255, 255, 0]
      }
    ),
  ]

  @Test(arguments: faults.indices)
  func wrongFactsAreNamed(index: Int) {
    var facts = Self.small()
    Self.faults[index].1(&facts)
    #expect(throws: Self.faults[index].0) { try Tokenizer(facts) }
  }

  @Test func mergesMayNameEachOther() throws {
    // Cycles cannot arise: every merge makes a longer token.
    var facts = GGUFVocabulary(model: "gpt2", tokens: ["a", "aa", "aaa", "aaaa"])
    facts.pre = "gpt-2"
    facts.merges = ["a aaa", "aaa a", "a aa", "aa a", "a a"]
    let tokenizer = try Tokenizer(facts)
    for length in 1..<200 {
      let text = String(repeating: "a", count: length)
      #expect(tokenizer.decode(tokenizer.encode(text)) == text)
    }
  }

  @Test func textNeverMergesIntoAControlToken() throws {
    var facts = Self.small()
    facts.tokens = ["a", "b", "ab", "<s>"]
    facts.tokenTypes = [1, 1, 3, 3]
    #expect(try Tokenizer(facts).encode("ab") == [0, 1])
    facts.model = "llama"
    facts.scores = [0, 0, 0, 0]
    facts.addSpacePrefix = false
    facts.addBOS = false
    #expect(try Tokenizer(facts).encode("ab") == [0, 1])
  }

  static let documents: [(String, LoadError)] = [
    ("", .json(JSON.ParseError(offset: 0, expected: "a value"))),
    ("{", .json(JSON.ParseError(offset: 1, expected: "a member's name"))),
    (
      String(repeating: "[", count: 100_000),
      .json(JSON.ParseError(offset: 129, expected: "at most 128 levels of nesting"))
    ),
    ("[]", .expected("a member \"model\"", at: "")),
    (#"{"model":{"type":"Other"}}"#, .unknownModel("Other")),
    (#"{"model":{"type":"BPE"}}"#, .expected("a member \"vocab\"", at: "model")),
    (#"{"model":{"type":"BPE","vocab":[]}}"#, .expected("an object", at: "model.vocab")),
    (#"{"model":{"type":"BPE","vocab":{}}}"#, .tokenCount(0)),
    (
      #"{"model":{"type":"BPE","vocab":{"a":1e300}}}"#,
      .expected("an id", at: "model.vocab[\"a\"]")
    ),
    (
      #"{"model":{"type":"BPE","vocab":{"a":99999999999}}}"#,
      .idOutOfRange(name: "\"a\"", id: 99_999_999_999, count: 1 << 24)
    ),
    (
      #"{"model":{"type":"BPE","vocab":{"a":-1}}}"#,
      .idOutOfRange(name: "\"a\"", id: -1, count: 1 << 24)
    ),
    (#"{"model":{"type":"BPE","vocab":{"a":16000000}}}"#, .tokenCount(16_000_001)),
    (
      #"{"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}}"#,
      .expected("one spelling for id 0, not both \"a\" and \"b\"", at: "vocab")
    ),
    (
      #"{"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a c"]}}"#,
      .mergeOfUnknownToken(index: 0, piece: "c")
    ),
    (
      #"{"model":{"type":"BPE","vocab":{"a":0},"merges":[["a"]]}}"#, .malformedMerge(index: 0)
    ),
    (
      #"{"model":{"type":"BPE","vocab":{"a":0},"merges":[]},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a+)+b"},"behavior":"Isolated"}}"#,
      .unsupported("this expression", at: "pre_tokenizer.pattern.Regex")
    ),
    (
      #"{"model":{"type":"Unigram","vocab":[["a",0]],"unk_id":7}}"#,
      .idOutOfRange(name: "model.unk_id", id: 7, count: 1)
    ),
    (
      #"{"model":{"type":"Unigram","vocab":[["a",1e39]]}}"#, .badScore(id: 0)
    ),
  ]

  @Test(arguments: documents.indices)
  func wrongDocumentsAreNamed(index: Int) {
    let (text, error) = Self.documents[index]
    #expect(throws: error) { try Tokenizer(tokenizerJSON: Array(text.utf8)) }
    #expect(!"\(error)".isEmpty)
  }

  /// Fixed-seed mutation of good documents: a small fuzz run in every test run.
  @Test(arguments: [Fixtures.byteLevel, Fixtures.wordPiece, Fixtures.unigram])
  func mutatedDocumentsAreAnswered(fixture: String) throws {
    let good = try Fixtures.read(fixture).member("tokenizer").bytes
    var state: UInt64 = 99
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
    var loaded = 0
    for _ in 0..<400 {
      var bytes = good
      for _ in 0...random(3) {
        let place = random(bytes.count)
        switch random(4) {
        case 0: bytes[place] = UInt8(random(256))
        case 1: bytes.removeSubrange(place..<min(bytes.count, place + random(40)))
        case 2: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 9)], at: place)
        default: bytes[place] = Array("0123456789\"{}[],:-eE.\\".utf8)[random(22)]
        }
      }
      if Tokenizer.fuzz(bytes) { loaded += 1 }
    }
    #expect(loaded > 0 && loaded < 400)
  }

  @Test func characterMapsOfGarbageAreAnswered() throws {
    var state: UInt64 = 5
    for size in 0..<300 {
      var facts = GGUFVocabulary(model: "t5", tokens: ["<unk>", "a"])
      facts.scores = [0, -1]
      facts.tokenTypes = [2, 1]
      facts.unknown = 0
      var map = [UInt8](repeating: 0, count: size)
      for i in map.indices {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        map[i] = UInt8(truncatingIfNeeded: state >> 56)
      }
      if size >= 4 { map.replaceSubrange(0..<4, with: [UInt8(size / 8 * 4), 0, 0, 0]) }
      facts.precompiledCharsMap = map
      if let tokenizer = try? Tokenizer(facts) { _ = tokenizer.encode("abc é 水 \u{0}\u{1}") }
    }
  }
}
