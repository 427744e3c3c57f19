import Foundation
import Inference
import LanguageModels
import Tensors
import Testing
import Tokenizers

/// Constraints over the vocabulary of a real model, where it is in the cache.
@Suite struct RealVocabularyTests {
  static var path: String {
    let environment = ProcessInfo.processInfo.environment
    let chosen = environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 }
    let cache = chosen ?? (environment["HOME"] ?? "") + "/.cache"
    return cache
      + "/swift-attention/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf"
  }

  static var isPresent: Bool { FileManager.default.fileExists(atPath: path) }

  static let grammars: [ConstraintGrammar] = [
    .jsonObject, .regex("(\\w+ ){2,6}\\d{1,3}\\."),
    .jsonSchema(
      .object([
        .init("type", .string("object")),
        .init(
          "properties",
          .object([
            .init(
              "name", .object([.init("type", .string("string")), .init("maxLength", .integer(9))])),
            .init("n", .object([.init("type", .string("integer"))])),
          ])),
        .init("required", .array([.string("name"), .string("n")])),
      ])),
  ]

  @Test(
    .enabled(if: isPresent, "the default model is not in the cache"), arguments: grammars.indices)
  func masksEqualBruteForce(_ grammar: Int) throws {
    let tokenizer = try Tokenizer(checkpoint: Self.path)
    let constraint = try TokenConstraint(Self.grammars[grammar], tokenizer: tokenizer)
    var random = SplitMix(state: 8)
    var mask = TokenMask(count: 0)
    var state = constraint.makeState()
    for _ in 0..<12 {
      try state.fillMask(&mask)
      #expect(mask.allowed == bruteForceMask(state, tokenizer))
      let going = mask.allowed.filter { !tokenizer.endOfGeneration.contains($0) }
      guard !going.isEmpty else { break }
      check(state.advance(going[Int(random.next() % UInt64(going.count))]))
    }
  }

  /// Text is taken however it is cut into tokens.
  @Test(.enabled(if: isPresent, "the default model is not in the cache"))
  func encodedDocumentsAreTaken() throws {
    let tokenizer = try Tokenizer(checkpoint: Self.path)
    let constraint = try TokenConstraint(.jsonObject, tokenizer: tokenizer)
    for text in [#"{"name": "Ada", "tags": ["日本", "é🙂"], "n": [1, -2.5e3, {}, null]}"#, "{}"] {
      var state = constraint.makeState()
      var mask = TokenMask(count: 0)
      for token in tokenizer.encode(text, addSpecialTokens: false) {
        try state.fillMask(&mask)
        #expect(mask[token])
        check(state.advance(token))
      }
      #expect(state.isComplete)
    }
  }
}
