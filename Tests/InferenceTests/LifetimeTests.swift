import Devices
import Inference
import LanguageModels
import TestModels
import Testing

/// Who drops an engine or a session gets everything back: threads, pages, weights.
@Suite(.timeLimit(.minutes(20))) struct LifetimeTests {
  /// What an engine and a session hold as long as they live.
  struct Watched {
    var device: Lifetime
    var model: Lifetime

    init(_ device: CPUDevice, _ bundle: ModelBundle) {
      self.device = Lifetime(of: device)
      model = Lifetime(of: bundle.model)
    }

    func expectEnd() async throws {
      #expect(try await device.ends())
      #expect(try await model.ends())
    }
  }

  /// How an engine's requests are when it is dropped.
  enum Requests: CaseIterable {
    case none, answered, running, cancelled, refused, stopped
  }

  @Test(arguments: Requests.allCases)
  func aDroppedEngineLeavesNothing(requests: Requests) async throws {
    for _ in 0..<3 { try await Self.use(requests).expectEnd() }
  }

  private static func use(_ requests: Requests) async throws -> Watched {
    let device = try CPUDevice(threads: 2)
    let bundle = try Harness.bundle(TinyModel(), device)
    var options = EngineOptions()
    options.pageCount = 64
    let engine = try InferenceEngine(bundle, device: device, options: options)
    var request = InferenceRequest(prompt: [1, 2, 3])
    request.maxTokens = 200
    request.ignoresEndOfGeneration = true
    request.n = 3
    switch requests {
    case .none: break
    case .answered: #expect(try await engine.answers(request).count == 3)
    case .running:
      for await _ in try engine.submit(request) { break }
      _ = try engine.submit(request)
    case .cancelled:
      let stream = try engine.submit(request)
      stream.cancel()
      for await _ in stream {}
    case .refused:
      request.prompt = []
      #expect(throws: EngineFailure.self) { try engine.submit(request) }
    case .stopped:
      _ = try engine.submit(request)
      await engine.stop(deadline: .zero)
      #expect(throws: EngineFailure.stopped) { try engine.submit(request) }
    }
    return Watched(device, bundle)
  }

  @Test func aDroppedSessionLeavesNothing() async throws {
    func use() throws -> Watched {
      let session = try SessionTests.session()
      var options = GenerationOptions()
      options.maxTokens = 8
      _ = try session.generate(SessionTests.tokens("hello"), options: options)
      return Watched(session.device, session.bundle)
    }
    try await use().expectEnd()
  }

  /// A stream that outlives its engine ends.
  @Test func aStreamOutlivesItsEngine() async throws {
    func stream() throws -> InferenceStream {
      var request = InferenceRequest(prompt: [1, 2, 3])
      request.maxTokens = 200
      request.ignoresEndOfGeneration = true
      return try Harness.engine().submit(request)
    }
    var finish: FinishReason?
    for await event in try stream() { finish = event.finish ?? finish }
    #expect(finish == .cancelled || finish == .length)
  }
}
