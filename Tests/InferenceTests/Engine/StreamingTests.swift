import Inference
import Tensors
import TestModels
import Testing
import Tokenizers

/// Attention sinks and a window: endless generation in constant memory.
@Suite(.timeLimit(.minutes(20))) struct StreamingTests {
  static func request(_ prompt: Int, _ tokens: Int) -> InferenceRequest {
    var request = InferenceRequest(prompt: (0..<prompt).map { TokenID($0 * 37 % 256) })
    request.maxTokens = tokens
    request.ignoresEndOfGeneration = true
    request.sampling.temperature = 1
    return request
  }

  @Test func memoryStaysConstant() async throws {
    // 4 sinks and 64 tokens: at most 1 + 8 + 1 pages, while the model's context is 256. The pool has
    // one more, so that a sequence that grew would not come to its end.
    let engine = try Harness.engine {
      $0.window = 64
      $0.pageSize = 8
      $0.pageCount = 11
    }
    var most = 0
    var count = 0
    for await event in try engine.submit(Self.request(30, 2_000)) {
      count += event.tokens.count
      most = max(most, engine.statistics().usedPages)
    }
    #expect(count == 2_000)
    #expect(most <= 10)
    try await engine.expectIdle()
  }

  /// However steps cut sequences, and whether they were preempted, the tokens are the same.
  @Test func cutsDoNotMatter() async throws {
    let requests = [(5, 150), (200, 80), (120, 120), (63, 90), (10, 200), (250, 60)].map {
      Self.request($0.0, $0.1)
    }
    let alone = try Harness.engine {
      $0.window = 40; $0.pageSize = 8
    }
    var expected: [[TokenID]] = []
    for request in requests { expected.append(try await alone.answer(request).tokens) }
    let engine = try Harness.engine {
      $0.window = 40
      $0.pageSize = 8
      $0.pageCount = 20
      $0.tokenBudget = 13
    }
    #expect(try await engine.answers(requests).map(\.tokens) == expected)
    #expect(engine.statistics().preemptions > 0)
    try await engine.expectIdle()
  }

  /// As long as nothing was dropped it is ordinary attention, rotated in another place.
  @Test func shortTextsAreOrdinary() async throws {
    var request = Self.request(20, 40)
    request.sampling.temperature = 0
    let streaming = try Harness.engine {
      $0.window = 100; $0.kvType = .float32
    }
    let plain = try Harness.engine { $0.kvType = .float32 }
    #expect(try await streaming.answer(request).tokens == plain.answer(request).tokens)
    // And it is not once something is.
    let narrow = try Harness.engine {
      $0.window = 8; $0.pageSize = 4; $0.kvType = .float32
    }
    #expect(try await narrow.answer(request).tokens != plain.answer(request).tokens)
  }
}
