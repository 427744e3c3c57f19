import Inference
import Tensors
import Testing
import Tokenizers

/// Texts that follow masks at random.
struct ConstraintSampler {
  let tokenizer: Tokenizer
  var random: SplitMix

  /// Draws allowed tokens until the text ends.
  ///
  /// After `length` tokens the text is ended as soon as it can be, and short tokens of punctuation
  /// are preferred so that it can be.
  mutating func text(
    _ constraint: TokenConstraint, length: Int = 60, most: Int = 4_000
  ) throws -> [UInt8]? {
    var state = constraint.makeState()
    var mask = TokenMask(count: 0)
    var bytes: [UInt8] = []
    for step in 0..<most {
      try state.fillMask(&mask)
      if state.isComplete, step >= length || random.next() % 4 == 0 { return bytes }
      var allowed = mask.allowed.filter { !tokenizer.endOfGeneration.contains($0) }
      if allowed.isEmpty {
        try #require(state.isComplete, "dead end after \(String(decoding: bytes, as: UTF8.self))")
        return bytes
      }
      if step >= length {
        let closing = allowed.filter { id in
          tokenizer.bytes(of: id).allSatisfy { "\"}]".utf8.contains($0) }
        }
        if !closing.isEmpty { allowed = closing }
      }
      let token = allowed[Int(random.next() % UInt64(allowed.count))]
      check(state.advance(token))
      bytes += tokenizer.bytes(of: token)
    }
    return nil
  }
}

/// What a mask must be, asked token by token.
func bruteForceMask(_ state: ConstraintState, _ tokenizer: Tokenizer) -> [TokenID] {
  (0..<TokenID(tokenizer.vocabularySize)).filter { id in
    if tokenizer.endOfGeneration.contains(id) { return state.isComplete }
    if tokenizer.isSpecial(id) { return false }
    var copy = state
    return copy.advance(bytes: tokenizer.bytes(of: id))
  }
}

/// An expectation whose value changes what it is asked of; `#expect` only takes constants.
func check(_ isTrue: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(isTrue, sourceLocation: sourceLocation)
}
