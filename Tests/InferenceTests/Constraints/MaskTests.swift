import Inference
import Tensors
import Testing
import Tokenizers

@Suite struct MaskTests {
  static let grammars: [ConstraintGrammar] = [
    .jsonObject,
    .regex("(a|b)*c{2,5}[^x-z]+"),
    .regex("-?(0|[1-9][0-9]*)(\\.[0-9]{1,3})?"),
    .regex("[\\p{L}\\s]+🙂?"),
    .choice(["true", "truely", "null", "日本", "{\"name\": 12}"]),
    .ebnf("root ::= item (\",\" item)*\nitem ::= \"[\" root? \"]\" | [0-9]+ | \"a\" item \"b\""),
    .ebnf("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\""),
  ]

  /// The mask equals the answer for each token alone, along random texts.
  @Test(arguments: grammars.indices, [1, 2, 3])
  func masksEqualBruteForce(grammar: Int, seed: UInt64) throws {
    let tokenizer =
      seed == 3
      ? try TestVocabulary.sentencePiece([
        "▁", "▁a", "a", "{\"", "\":▁", "12", "true", "c", "cc", "]▁", "日",
      ])
      : try TestVocabulary.mixed(seed: seed)
    let constraint = try TokenConstraint(Self.grammars[grammar], tokenizer: tokenizer)
    var random = SplitMix(state: seed)
    var mask = TokenMask(count: 0)
    for _ in 0..<6 {
      var state = constraint.makeState()
      for _ in 0..<25 {
        try state.fillMask(&mask)
        let expected = bruteForceMask(state, tokenizer)
        #expect(mask.allowed == expected)
        let going = expected.filter { !tokenizer.endOfGeneration.contains($0) }
        guard !going.isEmpty else { break }
        check(state.advance(going[Int(random.next() % UInt64(going.count))]))
      }
    }
  }

  /// What is not in the mask is refused, and leaves the state as it was.
  @Test func forbiddenTokensAreRefused() throws {
    let tokenizer = try TestVocabulary.mixed(seed: 9)
    let constraint = try TokenConstraint(.jsonObject, tokenizer: tokenizer)
    var state = constraint.makeState()
    check(state.advance(bytes: Array("{\"a\": [1, {\"b".utf8)))
    var before = TokenMask(count: 0)
    try state.fillMask(&before)
    var after = before
    for id in 0..<TokenID(tokenizer.vocabularySize) where !before[id] {
      check(!state.advance(id))
    }
    for id: TokenID in [-1, TokenID(tokenizer.vocabularySize), .max, .min] {
      check(!state.advance(id))
      #expect(!after[id])
    }
    try state.fillMask(&after)
    #expect(before == after)
  }

  @Test func copiesGoTheirOwnWay() throws {
    let tokenizer = try TestVocabulary.byteLevel([])
    let constraint = try TokenConstraint(.regex("ab|ac"), tokenizer: tokenizer)
    var first = constraint.makeState()
    check(first.advance(TokenID(UInt8(ascii: "a"))))
    var second = first
    check(first.advance(TokenID(UInt8(ascii: "b"))))
    check(second.advance(TokenID(UInt8(ascii: "c"))))
    #expect(first.isComplete && second.isComplete)
    check(first.advance(256) && first.isEnded)
    check(!first.advance(TokenID(UInt8(ascii: "a"))))
  }

  @Test func onlyTheEndFollowsWhatIsWhole() throws {
    let tokenizer = try TestVocabulary.mixed(seed: 4)
    let constraint = try TokenConstraint(.choice(["no", "now"]), tokenizer: tokenizer)
    var state = constraint.makeState()
    var mask = TokenMask(count: 0)
    #expect(!state.isComplete)
    check(state.advance(bytes: "no".utf8))
    #expect(state.isComplete)
    try state.fillMask(&mask)
    #expect(mask.allowed == [TokenID(UInt8(ascii: "w"))] + tokenizer.endOfGeneration.sorted())
    check(state.advance(bytes: "w".utf8))
    try state.fillMask(&mask)
    #expect(mask.allowed == tokenizer.endOfGeneration.sorted())
  }

  /// Small memory: tables are begun anew all the time and answer the same.
  @Test func answersSurviveNewTables() throws {
    let tokenizer = try TestVocabulary.mixed(seed: 5)
    let trie = TokenTrie(tokenizer)
    let small = try TokenConstraint(.jsonObject, trie: trie, memoryLimit: 30_000)
    let large = try TokenConstraint(.jsonObject, trie: trie)
    var random = SplitMix(state: 5)
    var (a, b) = (TokenMask(count: 0), TokenMask(count: 0))
    var (x, y) = (small.makeState(), large.makeState())
    let old = x
    for _ in 0..<300 {
      try x.fillMask(&a)
      try y.fillMask(&b)
      #expect(a == b)
      let going = a.allowed.filter { !tokenizer.endOfGeneration.contains($0) }
      if going.isEmpty || random.next() % 40 == 0 {
        (x, y) = (old, large.makeState())
        continue
      }
      let token = going[Int(random.next() % UInt64(going.count))]
      check(x.advance(token) && y.advance(token))
    }
  }

  @Test func masksForbidLogits() {
    var mask = TokenMask(count: 70)
    for id: TokenID in [0, 63, 64, 69] { mask[id] = true }
    var logits = [Float](repeating: 1, count: 140)
    var span = logits.mutableSpan
    mask.apply(to: &span)
    #expect(logits.indices.filter { logits[$0] == 1 } == [0, 63, 64, 69])
    #expect(mask.allowedCount == 4)
  }

  /// Threads share one constraint.
  @Test func threadsShareAConstraint() async throws {
    let tokenizer = try TestVocabulary.mixed(seed: 6)
    let constraint = try TokenConstraint(
      .jsonObject, trie: TokenTrie(tokenizer), memoryLimit: 100_000)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for seed in 0..<8 {
        group.addTask {
          var sampler = ConstraintSampler(
            tokenizer: tokenizer, random: SplitMix(state: UInt64(seed)))
          for _ in 0..<10 {
            if let bytes = try sampler.text(constraint) { _ = try JSON(parsing: bytes) }
          }
        }
      }
      try await group.waitForAll()
    }
  }
}
