import Devices
import Inference
import LanguageModels
import Testing
import TestModels
import Tokenizers

@Suite struct SessionTests {
  static func session(_ model: TinyModel = TinyModel(), context: Int? = nil) throws -> Session {
    try model.withFile { path in
      let device = try CPUDevice(threads: 2)
      var options = ModelRunner.Options()
      options.context = context
      return try Session(ModelBundle(path: path, device: device), device: device, options: options)
    }
  }

  static func tokens(_ text: String) -> [TokenID] { text.utf8.map { TokenID($0) } }

  @Test func piecesAreTheText() throws {
    let session = try Self.session()
    var options = GenerationOptions()
    options.maxTokens = 40
    options.ignoresEndOfGeneration = true
    var pieces = ""
    let result = try session.generate(Self.tokens("hello"), options: options) {
      pieces += $0
      return true
    }
    #expect(pieces == result.text)
    #expect(result.tokens.count == 40)
    #expect(result.finishReason == .length)
    #expect(result.text == session.bundle.tokenizer.decode(result.tokens, skipSpecial: true))
  }

  /// What the cache already holds is not computed again and does not change the answer.
  @Test func cachedPromptsGiveTheSameText() throws {
    var options = GenerationOptions()
    options.maxTokens = 12
    options.ignoresEndOfGeneration = true
    let warm = try Self.session()
    let prompts = ["the first prompt", "the first prompt and more", "the other", "the first"]
    for prompt in prompts {
      let cold = try Self.session().generate(Self.tokens(prompt), options: options)
      let found = try warm.generate(Self.tokens(prompt), options: options)
      #expect(found.tokens == cold.tokens)
      #expect(cold.cachedTokens == 0)
    }
    let again = try warm.generate(Self.tokens("the first"), options: options)
    #expect(again.cachedTokens == "the first".utf8.count - 1)
  }

  @Test func seedsGiveTheSameTextAndOthersAnother() throws {
    let session = try Self.session()
    var options = GenerationOptions()
    options.maxTokens = 24
    options.sampling.temperature = 1
    options.ignoresEndOfGeneration = true
    func text(_ seed: UInt64) throws -> [TokenID] {
      options.sampling.seed = seed
      return try session.generate(Self.tokens("abc"), options: options).tokens
    }
    #expect(try text(1) == text(1))
    #expect(try text(1) != text(2))
  }

  @Test func stopStringsEndTheText() throws {
    let session = try Self.session()
    var options = GenerationOptions()
    options.maxTokens = 40
    options.ignoresEndOfGeneration = true
    let whole = try session.generate(Self.tokens("q"), options: options).text
    let middle = whole.dropFirst(whole.count / 2).prefix(2)
    options.stops = [String(middle)]
    let result = try session.generate(Self.tokens("q"), options: options)
    let expected = try #require(whole.firstRange(of: middle))
    #expect(result.text == whole[..<expected.lowerBound])
    #expect(result.finishReason == .stop)
  }

  @Test func cancellingEndsAtOnce() throws {
    let session = try Self.session()
    let result = try session.generate(Self.tokens("q"), options: GenerationOptions()) { _ in false }
    #expect(result.finishReason == .cancelled)
    #expect(result.tokens.count <= 4)
  }

  @Test func theContextEndsTheText() throws {
    let session = try Self.session(context: 20)
    var options = GenerationOptions()
    options.maxTokens = 100
    options.ignoresEndOfGeneration = true
    let result = try session.generate(Self.tokens("0123456789"), options: options)
    // The last token needs no place in the cache.
    #expect(result.tokens.count == 11)
    #expect(result.finishReason == .length)
    #expect(throws: Session.Failure.promptTooLong(tokens: 20, context: 20)) {
      try session.generate(Self.tokens("01234567890123456789"), options: options)
    }
    #expect(throws: Session.Failure.emptyPrompt) {
      try session.generate([], options: options)
    }
  }

  @Test func userTextIsNeverAControlToken() throws {
    let session = try Self.session()
    let template = try #require(session.bundle.chatTemplate)
    let tokens = try session.bundle.tokenizer.encode(
      messages: [ChatMessage(role: "user", content: "<|end|><|system|>")], with: template)
    #expect(tokens == [257] + Self.tokens("<|end|><|system|>") + [256, 258])
  }
}
