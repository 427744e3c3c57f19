import Devices
import Inference
import LanguageModels
import TestModels
import Tensors
import Testing
import Tokenizers

/// What came of a sequence.
struct Answer: Equatable {
  var tokens: [TokenID] = []
  var outputs: [TokenOutput] = []
  var prompt: [TokenOutput] = []
  var finish: FinishReason?
  var usage = TokenUsage()
}

/// Engines over a tiny model of random weights.
enum Harness {
  static func bundle(_ model: TinyModel = TinyModel(), _ device: CPUDevice) throws -> ModelBundle {
    try model.withFile { try ModelBundle(path: $0, device: device) }
  }

  static func engine(
    _ model: TinyModel = TinyModel(), threads: Int = 2,
    _ edit: (inout EngineOptions) -> Void = { _ in }
  ) throws -> InferenceEngine {
    let device = try CPUDevice(threads: threads)
    var options = EngineOptions()
    options.pageCount = 512
    edit(&options)
    return try InferenceEngine(bundle(model, device), device: device, options: options)
  }

  /// Arbitrary prompts, some of which begin alike.
  static func requests(_ count: Int, seed: UInt64, maxTokens: ClosedRange<Int> = 1...40)
    -> [InferenceRequest]
  {
    var random = SplitMix(state: seed)
    func text(_ length: Int) -> [TokenID] {
      (0..<length).map { _ in TokenID.random(in: 0..<256, using: &random) }
    }
    let beginnings = (0..<3).map { _ in text(Int.random(in: 5...60, using: &random)) }
    return (0..<count).map { i in
      let own = text(Int.random(in: 1...70, using: &random))
      var request = InferenceRequest(
        prompt: (i % 2 == 0 ? [] : beginnings[i % 3]) + own)
      request.maxTokens = Int.random(in: maxTokens, using: &random)
      request.ignoresEndOfGeneration = true
      if i % 4 == 3 {
        request.sampling.temperature = 1
        request.sampling.topP = 0.9
        request.sampling.seed = UInt64(i)
      }
      return request
    }
  }
}

extension InferenceEngine {
  /// The answers of a request's sequences.
  func answers(_ request: InferenceRequest) async throws -> [Answer] {
    await Self.answers(try submit(request), count: request.n)
  }

  private static func answers(_ stream: InferenceStream, count: Int) async -> [Answer] {
    var answers = [Answer](repeating: Answer(), count: count)
    for await event in stream {
      #expect(answers[event.sequence].finish == nil)
      answers[event.sequence].tokens += event.tokens.map(\.id)
      answers[event.sequence].outputs += event.tokens
      answers[event.sequence].prompt += event.prompt
      answers[event.sequence].finish = event.finish
      answers[event.sequence].usage = event.usage
    }
    return answers
  }

  /// The answer of a request for one sequence.
  func answer(_ request: InferenceRequest) async throws -> Answer {
    try await answers(request)[0]
  }

  /// The answers of requests for one sequence each, all handed in before the first answer is read.
  func answers(_ requests: [InferenceRequest]) async throws -> [Answer] {
    let streams = try requests.map { try submit($0) }
    return await withTaskGroup(of: (Int, Answer).self) { group in
      for (i, stream) in streams.enumerated() {
        group.addTask { (i, await Self.answers(stream, count: 1)[0]) }
      }
      var answers = [Answer](repeating: Answer(), count: requests.count)
      for await (i, answer) in group { answers[i] = answer }
      return answers
    }
  }

  /// Nothing runs, nothing waits, every page is free or cached, and all is consistent.
  func expectIdle() async throws {
    try await checkIntegrity()
    let statistics = statistics()
    #expect(statistics.running == 0 && statistics.waiting == 0 && statistics.usedPages == 0)
  }
}
