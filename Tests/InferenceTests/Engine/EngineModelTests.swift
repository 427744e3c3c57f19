import Devices
import Foundation
import Inference
import LanguageModels
import Tensors
import Testing
import Tokenizers

/// A real model through the engine.
@Suite(.serialized, .timeLimit(.minutes(20))) struct EngineModelTests {
  static var path: String {
    let environment = ProcessInfo.processInfo.environment
    let chosen = environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 }
    let cache = chosen ?? (environment["HOME"] ?? "") + "/.cache"
    return
      "\(cache)/swift-attention/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf"
  }
  static var isPresent: Bool {
    FileManager.default.fileExists(atPath: path)
      || (ProcessInfo.processInfo.environment["ATTENTION_REQUIRE_MODELS"] ?? "")
        .contains("smollm2-135m-instruct")
  }

  /// "The capital of France is", and what PyTorch continues it with in 32-bit floats.
  static let prompt: [TokenID] = [504, 3575, 282, 4649, 314]
  static let greedy: [TokenID] = [
    7042, 30, 198, 198, 504, 2988, 314, 42, 216, 34, 32, 33, 40, 29, 32, 33, 29, 34, 34, 216, 33,
    34, 42, 33,
  ]

  @Test(.enabled(if: isPresent, "SmolLM2 is not in the cache"))
  func followsPyTorchInABatch() async throws {
    let device = try CPUDevice()
    let bundle = try ModelBundle(path: Self.path, device: device)
    var options = EngineOptions()
    options.kvType = .float32
    options.context = 256
    options.pageCount = 12
    options.tokenBudget = 24
    let engine = try InferenceEngine(bundle, device: device, options: options)
    var request = InferenceRequest(prompt: Self.prompt)
    request.maxTokens = 24
    request.ignoresEndOfGeneration = true
    var others = Harness.requests(7, seed: 1, maxTokens: 20...30)
    others.insert(request, at: 4)
    let answers = try await engine.answers(others)
    #expect(answers[4].tokens == Self.greedy)
    #expect(engine.statistics().preemptions > 0)
    try await engine.expectIdle()
  }

  /// Rounded activations and half-precision keys: alone or among others, the same tokens.
  @Test(.enabled(if: isPresent, "SmolLM2 is not in the cache"))
  func batchedAnswersEqualThoseAlone() async throws {
    let device = try CPUDevice()
    let bundle = try ModelBundle(path: Self.path, precision: .fast, device: device)
    let texts = [
      "The capital of France is", "Once upon a time there was", "def fibonacci(n):\n",
      "A list of colours: red,", "To be or not to be,", "The first ten primes are 2, 3,",
      "My favourite food is", "In the year 1969,", "Water boils at", "The opposite of hot is",
      "Q: What is 2 + 2?\nA:", "The king said to the queen:",
    ]
    let requests = (0..<24).map { i in
      var request = InferenceRequest(
        prompt: bundle.tokenizer.encode(String(repeating: texts[i % 12] + " ", count: 1 + i % 5)))
      request.maxTokens = 40
      request.ignoresEndOfGeneration = true
      if i % 3 == 2 {
        request.sampling.temperature = 0.8
        request.sampling.topK = 40
        request.sampling.seed = UInt64(i)
      }
      return request
    }
    var options = EngineOptions()
    options.context = 512
    options.prefixCaching = false
    let alone = try InferenceEngine(bundle, device: device, options: options)
    var expected: [[TokenID]] = []
    for request in requests { expected.append(try await alone.answer(request).tokens) }
    options.prefixCaching = true
    options.pageCount = 14
    options.tokenBudget = 40
    options.speculation = .promptLookup(tokens: 3)
    let engine = try InferenceEngine(bundle, device: device, options: options)
    let order = requests.indices.shuffled()
    let found = try await engine.answers(order.map { requests[$0] })
    for (answer, request) in zip(found, order) {
      #expect(answer.tokens == expected[request], "request \(request)")
    }
    // Whatever was evicted meanwhile: what the first of these computes is there for the second.
    let longest = try #require(
      requests.indices.max { requests[$0].prompt.count < requests[$1].prompt.count })
    for _ in 0..<2 {
      #expect(try await engine.answer(requests[longest]).tokens == expected[longest])
    }
    #expect(engine.statistics().preemptions > 0 && engine.statistics().prefixHits > 0)
    try await engine.expectIdle()
  }
}
