import Attention
import Devices
import Glibc
import Inference
import LanguageModels
import Tensors
import TestModels
import Testing
import Tokenizers

extension ModelStep {
  /// Some last tokens of one sequence that lies in the first pages.
  static func single(_ tokens: ArraySlice<TokenID>, length: Int, pageSize: Int) throws -> ModelStep
  {
    let pages = Array(0..<(length + pageSize - 1) / pageSize)
    return ModelStep(
      tokens: Array(tokens),
      batch: try AttentionBatch(
        queries: RaggedIndex(lengths: [tokens.count]),
        pages: PageTable(requests: [(pages: pages, kvLength: length)], pageSize: pageSize)))
  }
}

@Suite(.timeLimit(.minutes(20))) struct EngineSpeculationTests {
  static func otherBundle() throws -> ModelBundle {
    var other = TinyModel()
    other.layers = 1
    return try Harness.bundle(other, CPUDevice(threads: 2))
  }

  /// Guessing changes how fast tokens come, never which.
  @Test(arguments: [0, 1, 2, 3])
  func guessesChangeNoToken(kind: Int) async throws {
    let device = try CPUDevice(threads: 2)
    let bundle = try Harness.bundle(TinyModel(), device)
    var requests = Harness.requests(40, seed: 23, maxTokens: 20...60)
    for i in requests.indices where i % 5 == 0 { requests[i].sampling.frequencyPenalty = 0.2 }
    var options = EngineOptions()
    options.pageCount = 512
    let plain = try InferenceEngine(bundle, device: device, options: options)
    let expected = try await plain.answers(requests)
    options.pageCount = 40
    options.tokenBudget = 50
    options.speculation =
      switch kind {
      case 0: .promptLookup(tokens: 4)
      case 1: .promptLookup(tokens: 1)
      // The model itself guesses right as long as no penalty interferes; another one rarely.
      case 2: .draft(bundle, tokens: 3)
      default: .draft(try Self.otherBundle(), tokens: 3)
      }
    let engine = try InferenceEngine(bundle, device: device, options: options)
    let found = try await engine.answers(requests)
    #expect(found.map(\.tokens) == expected.map(\.tokens))
    let statistics = engine.statistics()
    #expect(statistics.acceptedTokens > 0 && statistics.draftTokens > statistics.acceptedTokens)
    if kind == 2 { #expect(statistics.acceptedTokens * 10 > statistics.draftTokens * 6) }
    #expect(statistics.preemptions > 0)
    try await engine.expectIdle()
  }

  /// The distribution of the second and third token, with branching guesses verified through the
  /// tree mask, is the model's.
  @Test func distributionsAreTheModels() async throws {
    let engine = try Harness.engine {
      $0.composes = true
      $0.speculation = .promptLookup(tokens: 6)
    }
    // Bias leaves a few tokens, all of which the prompt shows, after one another in several ways.
    let prompt: [TokenID] = [1, 2, 3, 2, 1, 3, 3, 1, 1, 2, 2, 3, 1, 2, 1, 3, 2, 3, 1]
    var request = InferenceRequest(prompt: prompt)
    request.maxTokens = 8
    request.ignoresEndOfGeneration = true
    request.sampling.temperature = 1
    request.sampling.logitBias = [1: 30, 2: 30, 3: 30]
    let draws = 4_000
    var counts: [[TokenID]: Int] = [:]
    let requests = (0..<draws).map { seed in
      var request = request
      request.sampling.seed = UInt64(seed) &* 7_919
      return request
    }
    for start in stride(from: 0, to: draws, by: 500) {
      for answer in try await engine.answers(Array(requests[start..<start + 500])) {
        counts[Array(answer.tokens.prefix(3)), default: 0] += 1
      }
    }
    #expect(engine.statistics().acceptedTokens > draws)

    let device = try CPUDevice(threads: 1)
    let runner = try ModelRunner(Harness.bundle(TinyModel(), device).model, device: device)
    func probabilities(_ tokens: [TokenID]) throws -> [TokenID: Double] {
      runner.truncate(to: 0)
      let logits = try runner.extend(prompt + tokens)
      let weights = [1, 2, 3].map { exp(Double(logits[$0])) }
      let total = weights.reduce(0, +)
      return [1: weights[0] / total, 2: weights[1] / total, 3: weights[2] / total]
    }
    var squares = 0.0
    for (a, pa) in try probabilities([]) {
      for (b, pb) in try probabilities([a]) {
        for (c, pc) in try probabilities([a, b]) {
          let expected = pa * pb * pc * Double(draws)
          let difference = Double(counts[[a, b, c], default: 0]) - expected
          squares += difference * difference / expected
        }
      }
    }
    // 26 degrees of freedom: exceeded once in 10,000 runs, and the seeds are fixed.
    #expect(squares < 60)
  }
}
