import Checkpoints
import Devices
import Inference
import LanguageModels
import Tensors
import TestModels
import Testing
import Tokenizers

/// Many requests on one model.
@Suite(.timeLimit(.minutes(20))) struct EngineTests {
  /// With little memory, small steps and shared beginnings every request gets the tokens that it
  /// gets alone.
  @Test(arguments: [ElementType.float16, .bfloat16, .float32])
  func batchedAnswersEqualThoseAlone(kvType: ElementType) async throws {
    let requests = Harness.requests(64, seed: 5, maxTokens: 20...60)
    let alone = try Harness.engine {
      $0.kvType = kvType; $0.prefixCaching = false
    }
    var expected: [Answer] = []
    for request in requests { expected.append(try await alone.answer(request)) }
    #expect(Set(expected.map(\.tokens)).count > 32)

    let engine = try Harness.engine(threads: 1) {
      $0.kvType = kvType
      $0.pageCount = 16
      $0.tokenBudget = 37
      $0.maxRunning = 20
    }
    let order = requests.indices.shuffled()
    let found = try await engine.answers(order.map { requests[$0] })
    for (answer, request) in zip(found, order) {
      #expect(answer.tokens == expected[request].tokens, "request \(request)")
      #expect(answer.finish == expected[request].finish)
    }
    let statistics = engine.statistics()
    #expect(statistics.preemptions > 0 && statistics.prefixHits > 0)
    #expect(Double(statistics.stepTokens) / Double(statistics.steps) > 4)
    try await engine.expectIdle()
  }

  /// The same for a model with windows in most layers, whose keys are masked by distance.
  @Test func windowedLayersToo() async throws {
    var model = TinyModel()
    model.architecture = "gemma3"
    model.layers = 3
    model.overrides = [
      "attention.sliding_window": .uint32(24), "attention.sliding_window_pattern": .uint32(2),
    ]
    let requests = Harness.requests(24, seed: 8)
    let alone = try Harness.engine(model)
    let engine = try Harness.engine(model) {
      $0.pageCount = 20; $0.tokenBudget = 19
    }
    var expected: [[TokenID]] = []
    for request in requests { expected.append(try await alone.answer(request).tokens) }
    #expect(try await engine.answers(requests).map(\.tokens) == expected)
    try await engine.expectIdle()
  }

  @Test func smallPoolsFinishEverything() async throws {
    let engine = try Harness.engine {
      $0.pageCount = 64; $0.tokenBudget = 64; $0.pageSize = 8
    }
    let requests = Harness.requests(200, seed: 11, maxTokens: 10...60)
    let answers = try await engine.answers(requests)
    for (answer, request) in zip(answers, requests) {
      #expect(answer.finish == .length && answer.tokens.count == request.maxTokens)
      #expect(answer.usage.generatedTokens == request.maxTokens)
      #expect(answer.usage.promptTokens == request.prompt.count)
    }
    #expect(engine.statistics().finished["length"] == 200)
    try await engine.expectIdle()
  }

  /// Whenever requests are cancelled, no page stays behind and others get their tokens.
  @Test func cancelsLeaveNothingBehind() async throws {
    let engine = try Harness.engine {
      $0.pageCount = 48; $0.tokenBudget = 48; $0.pageSize = 8
    }
    let requests = Harness.requests(120, seed: 13, maxTokens: 20...60)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (i, request) in requests.enumerated() {
        group.addTask {
          var request = request
          request.n = i % 5 == 0 ? 3 : 1
          let stream = try engine.submit(request)
          var left = i % 7
          var ended = 0
          for await event in stream {
            if event.finish != nil { ended += 1 }
            if i % 3 == 0 { continue }
            left -= 1
            if left == 0 {
              switch i % 4 {
              case 0: return
              case 1: stream.cancel(sequence: 0)
              default: stream.cancel()
              }
            }
          }
          #expect(ended == request.n)
        }
      }
      try await group.waitForAll()
    }
    // Dropped streams are cancelled by and by.
    for _ in 0..<1_000 where engine.statistics().running + engine.statistics().waiting > 0 {
      try await engine.checkIntegrity()
    }
    await engine.stop(deadline: .seconds(30))
    #expect(engine.statistics().usedPages == 0)
  }

  @Test func seedsGiveTheSameTextAndOthersAnother() async throws {
    let engine = try Harness.engine()
    var request = InferenceRequest(prompt: [1, 2, 3])
    request.sampling.temperature = 1
    request.maxTokens = 24
    request.ignoresEndOfGeneration = true
    var texts: [[TokenID]] = []
    for seed: UInt64 in [1, 2, 1] {
      request.sampling.seed = seed
      texts.append(try await engine.answer(request).tokens)
    }
    #expect(texts[0] == texts[2] && texts[0] != texts[1])
  }

  /// Sequences of one request share their prompt's pages, a half-filled one among them.
  @Test func forksShareTheirPrompt() async throws {
    let engine = try Harness.engine {
      $0.pageCount = 40; $0.tokenBudget = 16
    }
    var request = InferenceRequest(prompt: (0..<75).map { TokenID($0 * 3 % 256) })
    request.maxTokens = 20
    request.ignoresEndOfGeneration = true
    let single = try await engine.answer(request)
    request.n = 6
    // 6 · 95 tokens would need 36 pages if none was shared.
    let greedy = try await engine.answers(request)
    #expect(greedy.allSatisfy { $0.tokens == single.tokens && $0.finish == .length })
    #expect(engine.statistics().preemptions == 0)

    request.sampling.temperature = 1
    request.sampling.seed = 9
    let sampled = try await engine.answers(request)
    #expect(Set(sampled.map(\.tokens)).count == 6)
    request.n = 1
    #expect(try await engine.answer(request).tokens == sampled[0].tokens)
    try await engine.expectIdle()
  }

  /// More sequences than have logits at a time, those that begin in the middle of a block too.
  @Test func manyForksAllGoOn() async throws {
    let engine = try Harness.engine { $0.tokenBudget = 256 }
    var requests = Harness.requests(5, seed: 23, maxTokens: 6...9)
    for i in requests.indices { requests[i].n = 30 }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for request in requests {
        let stream = try engine.submit(request)
        group.addTask {
          var tokens = 0
          for await event in stream { tokens += event.tokens.count }
          #expect(tokens == 30 * request.maxTokens)
        }
      }
      try await group.waitForAll()
    }
    try await engine.expectIdle()
  }

  /// Requests that come together with one prompt wait for the first of them to compute it.
  @Test func identicalPromptsAreComputedOnce() async throws {
    let engine = try Harness.engine { $0.tokenBudget = 64 }
    var request = InferenceRequest(prompt: (0..<200).map { TokenID($0 * 7 % 256) })
    request.maxTokens = 5
    request.ignoresEndOfGeneration = true
    let answers = try await engine.answers(Array(repeating: request, count: 8))
    #expect(Set(answers.map(\.tokens)).count == 1)
    // Whole pages, and never the last token.
    #expect(engine.statistics().prefixHits == 7 * 192)
    try await engine.expectIdle()
  }

  /// While one sequence generates, a prompt comes in smaller chunks.
  @Test func promptsMakeRoomForAnswers() async throws {
    let engine = try Harness.engine {
      $0.tokenBudget = 8; $0.prefillBudget = 4
    }
    var first = InferenceRequest(prompt: [1, 2, 3])
    (first.maxTokens, first.ignoresEndOfGeneration) = (20, true)
    var second = InferenceRequest(prompt: (0..<120).map { TokenID($0 * 7 % 256) })
    (second.maxTokens, second.ignoresEndOfGeneration) = (1, true)
    _ = try await engine.answers([first, second])
    // 20 steps for the first one, in which the prompt gets one row and 4 more, at most 5 in the very
    // first; then 8 at a time. With whole steps the prompt would be over before the first one is.
    #expect(engine.statistics().steps >= 23)
    try await engine.expectIdle()
  }

  @Test func endsAreEnds() async throws {
    let engine = try Harness.engine { $0.context = 40 }
    var request = InferenceRequest(prompt: [5, 6, 7])
    request.maxTokens = 30
    request.ignoresEndOfGeneration = true
    let whole = try await engine.answer(request).tokens
    // A token that has not occurred before it.
    let place = try #require(whole.indices.dropFirst(2).first { !whole[..<$0].contains(whole[$0]) })
    request.stopTokens = [whole[place]]
    let stopped = try await engine.answer(request)
    #expect(stopped.tokens == Array(whole[..<place]) && stopped.finish == .stop)
    request.minTokens = place + 1
    let longer = try await engine.answer(request)
    #expect(longer.tokens.count > place && !longer.tokens[...place].contains(whole[place]))
    request.stopTokens = []
    request.minTokens = 0
    request.maxTokens = 100
    // The last token needs no place in the context.
    let full = try await engine.answer(request)
    #expect(full.tokens.count == 38 && full.finish == .length)
  }

  @Test func whatCannotRunIsRefused() async throws {
    let engine = try Harness.engine {
      $0.pageCount = 4
      $0.maxRunning = 8
      $0.maxWaiting = 2
    }
    func refusal(_ edit: (inout InferenceRequest) -> Void) -> EngineFailure? {
      var request = InferenceRequest(prompt: [1, 2, 3])
      request.maxTokens = 8
      edit(&request)
      do throws(EngineFailure) {
        _ = try engine.submit(request)
        return nil
      } catch {
        return error
      }
    }
    #expect(refusal { $0.prompt = [] } == .emptyPrompt)
    #expect(refusal { $0.prompt = [1, 260] } == .token(id: 260, index: 1, vocabularySize: 260))
    #expect(refusal { $0.prompt = [-1] } == .token(id: -1, index: 0, vocabularySize: 260))
    #expect(
      refusal { $0.prompt = [TokenID](repeating: 1, count: 256) }
        == .promptTooLong(tokens: 256, context: 256))
    #expect(refusal { $0.maxTokens = 80 } == .doesNotFit(pages: 6, pool: 4))
    for edit: (inout InferenceRequest) -> Void in [
      { $0.n = 0 }, { $0.n = 9 }, { $0.maxTokens = 0 }, { $0.minTokens = -1 },
      { $0.minTokens = 200 }, { $0.logprobs = -1 }, { $0.sampling.temperature = -1 },
      { $0.sampling.presencePenalty = 3 }, { $0.sampling.frequencyPenalty = .nan },
      { $0.sampling.repetitionPenalty = 0 }, { $0.sampling.logitBias = [1: .nan] },
    ] {
      guard case .invalid = refusal(edit) else {
        Issue.record("accepted or refused for another reason")
        continue
      }
    }
    #expect(
      refusal { $0.sampling.logitBias = [300: 1] }
        == .token(id: 300, index: 0, vocabularySize: 260))
    await #expect(throws: EngineFailure.emptyPrompt) { try await engine.embed([[]]) }
    await engine.stop(deadline: .zero)
    #expect(refusal { _ in } == .stopped)
    await #expect(throws: EngineFailure.stopped) { try await engine.embed([[1]]) }
    for edit: (inout EngineOptions) -> Void in [
      { $0.tokenBudget = 0 }, { $0.prefillBudget = 0 }, { $0.pageSize = 0 }, { $0.pageCount = 0 },
      { $0.maxRunning = 0 },
      { $0.speculation = .promptLookup(tokens: 0) }, { $0.window = 0 }, { $0.window = 255 },
    ] {
      #expect(throws: EngineFailure.self) { try Harness.engine(TinyModel(), edit) }
    }
  }

  /// What was accepted ends before the engine does; what comes too late is cancelled.
  @Test func stoppingLosesNothing() async throws {
    let requests = Harness.requests(30, seed: 17, maxTokens: 30...40)
    let engine = try Harness.engine { $0.maxRunning = 4 }
    let streams = try requests.map { try engine.submit($0) }
    await engine.stop(deadline: .seconds(60))
    for (stream, request) in zip(streams, requests) {
      var tokens = 0
      for await event in stream { tokens += event.tokens.count }
      #expect(tokens == request.maxTokens)
    }
    let hurried = try Harness.engine { $0.maxRunning = 2 }
    let late = try requests.map { try hurried.submit($0) }
    await hurried.stop(deadline: .zero)
    for stream in late {
      var finish: FinishReason?
      for await event in stream { finish = event.finish ?? finish }
      #expect(finish == .cancelled || finish == .length)
    }
    #expect(hurried.statistics().usedPages == 0)
  }

  @Test func fullQueuesSaySo() async throws {
    let engine = try Harness.engine {
      $0.maxRunning = 1; $0.maxWaiting = 3
    }
    var streams: [InferenceStream] = []
    var refused = 0
    for request in Harness.requests(40, seed: 19, maxTokens: 100...120) {
      do throws(EngineFailure) {
        streams.append(try engine.submit(request))
      } catch {
        guard case .overloaded = error else { throw error }
        refused += 1
      }
    }
    #expect(refused > 0 && streams.count >= 3)
    for stream in streams {
      var finish: FinishReason?
      for await event in stream { finish = event.finish ?? finish }
      #expect(finish == .length)
    }
  }
}
