import Devices
import Glibc
import Inference
import LanguageModels
import Tensors
import TestModels
import Testing
import Tokenizers

/// What requests ask of sampling, against plain computations over a single sequence's logits.
@Suite(.timeLimit(.minutes(20))) struct EngineSamplingTests {
  /// The tokens that a rule chooses, one after another, from the model's own logits.
  static func tokens(
    after prompt: [TokenID], count: Int, choose: (_ logits: [Float], _ tokens: [TokenID]) -> TokenID
  ) throws -> [TokenID] {
    let device = try CPUDevice(threads: 1)
    let runner = try ModelRunner(Harness.bundle(TinyModel(), device).model, device: device)
    var tokens: [TokenID] = []
    var logits = try runner.extend(prompt)
    while tokens.count < count {
      tokens.append(choose(logits, tokens))
      logits = try runner.extend(tokens.suffix(1))
    }
    return tokens
  }

  static func logProbabilities(_ logits: [Float]) -> [Double] {
    let largest = Double(logits.max() ?? 0)
    let total = logits.reduce(0) { $0 + exp(Double($1) - largest) }
    return logits.map { Double($0) - largest - log(total) }
  }

  @Test func logprobsAreThoseOfTheModel() async throws {
    let engine = try Harness.engine { $0.tokenBudget = 5 }
    var request = InferenceRequest(prompt: [9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    request.maxTokens = 12
    request.logprobs = 4
    request.promptLogprobs = true
    request.ignoresEndOfGeneration = true
    // What changes the choice does not change the report.
    request.sampling.temperature = 2
    request.sampling.logitBias = [3: 50, 4: 50]
    request.sampling.presencePenalty = 1
    let answer = try await engine.answer(request)
    #expect(answer.tokens.allSatisfy { $0 == 3 || $0 == 4 })
    #expect(answer.prompt.map(\.id) == request.prompt && answer.prompt[0].logprob == nil)

    let device = try CPUDevice(threads: 1)
    let runner = try ModelRunner(Harness.bundle(TinyModel(), device).model, device: device)
    var rows: [[Double]] = []
    _ = try runner.extend(request.prompt + answer.tokens.dropLast()) {
      rows.append(Self.logProbabilities(Array($0)))
    }
    let outputs = answer.prompt.dropFirst() + answer.outputs
    #expect(outputs.count == rows.count)
    for (output, row) in zip(outputs, rows) {
      let logprob = try #require(output.logprob)
      #expect(abs(Double(logprob) - row[Int(output.id)]) <= 1e-3)
      let largest = row.sorted(by: >).prefix(4)
      #expect(output.top.count == 4)
      for (candidate, expected) in zip(output.top, largest) {
        #expect(abs(Double(candidate.logprob) - expected) <= 1e-3)
        #expect(abs(row[Int(candidate.id)] - expected) <= 1e-3)
      }
    }
  }

  @Test(arguments: [(Float(1.5), Float(0), Float(1)), (0, 0.7, 1), (0, 0, 1.8), (-1, 0.3, 0.8)])
  func penaltiesFollowTheirDefinitions(presence: Float, frequency: Float, repetition: Float)
    async throws
  {
    var request = InferenceRequest(prompt: [1, 2, 3, 100, 200])
    request.maxTokens = 40
    request.ignoresEndOfGeneration = true
    request.sampling.presencePenalty = presence
    request.sampling.frequencyPenalty = frequency
    request.sampling.repetitionPenalty = repetition
    request.sampling.logitBias = [17: 0.5, 30: -.infinity]
    let expected = try Self.tokens(after: request.prompt, count: 40) { logits, tokens in
      var adjusted = logits
      adjusted[17] += 0.5
      adjusted[30] = -.infinity
      for token in Set(request.prompt + tokens) {
        let logit = adjusted[Int(token)]
        adjusted[Int(token)] = logit > 0 ? logit / repetition : logit * repetition
      }
      for token in Set(tokens) {
        let count = Float(tokens.count { $0 == token })
        adjusted[Int(token)] -= presence + frequency * count
      }
      let largest = adjusted.max() ?? 0
      return TokenID(adjusted.firstIndex(of: largest) ?? 0)
    }
    let plain = try Self.tokens(after: request.prompt, count: 40) { logits, _ in
      TokenID(logits.firstIndex(of: logits.max() ?? 0) ?? 0)
    }
    #expect(expected != plain)
    #expect(try await Harness.engine().answer(request).tokens == expected)
  }

  @Test func constraintsAreKept() async throws {
    let engine = try Harness.engine()
    let constraint = try TokenConstraint(
      .regex("(ab|c)[0-9]{3}x*!"), tokenizer: engine.bundle.tokenizer)
    for seed in 0..<20 {
      var request = InferenceRequest(prompt: [1, 2])
      request.maxTokens = 200
      request.constraint = constraint
      request.sampling.temperature = seed == 0 ? 0 : 1
      request.sampling.seed = UInt64(seed)
      request.sampling.logitBias = [120: -3]
      let answer = try await engine.answer(request)
      let text = engine.bundle.tokenizer.decode(answer.tokens)
      #expect(try #/(ab|c)[0-9]{3}x*!/#.wholeMatch(in: text) != nil, "\(text)")
      #expect(answer.finish == .stop)
    }
  }

  @Test func embeddingsAreMeansOfHiddenVectors() async throws {
    let engine = try Harness.engine {
      $0.pageCount = 12; $0.tokenBudget = 23
    }
    let prompts = Harness.requests(12, seed: 3).map(\.prompt)
    let found = try await engine.embed(prompts)
    let device = try CPUDevice(threads: 1)
    let bundle = try Harness.bundle(TinyModel(), device)
    for (vector, prompt) in zip(found, prompts) {
      // One token at a time, with everything before it in the cache.
      let runner = try BatchRunner(
        bundle.model, device: device, options: .init(pageCount: 20, pageSize: 16))
      var sum = [Double](repeating: 0, count: vector.count)
      for i in prompt.indices {
        try runner.run(.single(prompt[i...i], length: i + 1, pageSize: 16))
        let hidden = try runner.hidden(0..<1)
        for c in sum.indices { sum[c] += Double(hidden.row(0)[c]) }
      }
      let norm = sum.reduce(0) { $0 + $1 * $1 }.squareRoot()
      #expect(zip(vector, sum).allSatisfy { abs(Double($0) - $1 / norm) <= 1e-3 })
    }
    try await engine.expectIdle()
  }
}
