import Inference
import LanguageModels
import Synchronization
import Tokenizers

/// A job under way: the engine's events turned into steps of text.
struct GenerationRun: Sendable {
  /// What a run tells.
  enum Event: Sendable {
    case delta(ChoiceDelta)
    /// Nothing has come for a while; the request is still being worked on.
    case alive
  }

  /// The steps of all choices, in the order they come.
  ///
  /// Ending the iteration cancels the job.
  let events: AsyncThrowingStream<Event, any Error>

  /// Hands a job to the engine.
  ///
  /// The job is cancelled when the client leaves, whether it waits, reads its prompt or generates.
  init(
    _ job: GenerationJob, on engine: InferenceEngine, metrics: ServerMetrics,
    options: ServerOptions, presence: ClientPresence
  ) throws(APIError) {
    let start = ContinuousClock.now
    var streams: [InferenceStream] = []
    for prompt in job.prompts {
      var request = job.request
      request.prompt = prompt
      do {
        streams.append(try engine.submit(request))
      } catch {
        for stream in streams { stream.cancel() }
        throw APIError(error)
      }
    }
    let (events, continuation) = AsyncThrowingStream<Event, any Error>.makeStream()
    self.events = events
    let follower = Follower(
      job: job, tokenizer: engine.bundle.tokenizer, metrics: metrics, start: start,
      yield: { continuation.yield($0) })
    metrics.record {
      $0.choices.record(Double(job.request.n))
      $0.maxTokens.record(Double(job.request.maxTokens))
    }
    let accepted = streams
    let task = Task {
      do {
        try await withThrowingTaskGroup(of: Bool.self) { group in
          for (prompt, stream) in accepted.enumerated() {
            group.addTask {
              try await follower.follow(stream, prompt: prompt)
              return true
            }
          }
          group.addTask {
            try await follower.watch(options)
            return false
          }
          var left = accepted.count
          while left > 0, let ended = try await group.next() { left -= ended ? 1 : 0 }
          group.cancelAll()
        }
        continuation.finish()
      } catch {
        for stream in accepted { stream.cancel() }
        continuation.finish(throwing: error)
      }
    }
    continuation.onTermination = { _ in task.cancel() }
    presence.whenLeft { task.cancel() }
  }
}

/// Reads the engine's streams of one job.
private final class Follower: Sendable {
  private let job: GenerationJob
  private let tokenizer: Tokenizer
  private let metrics: ServerMetrics
  private let start: ContinuousClock.Instant
  private let yield: @Sendable (GenerationRun.Event) -> Void
  private let hasBegun = Atomic(false)

  init(
    job: GenerationJob, tokenizer: Tokenizer, metrics: ServerMetrics,
    start: ContinuousClock.Instant, yield: @escaping @Sendable (GenerationRun.Event) -> Void
  ) {
    self.job = job
    self.tokenizer = tokenizer
    self.metrics = metrics
    self.start = start
    self.yield = yield
  }

  private struct Choice {
    var assembler: TextAssembler
    var times: ChoiceTimes
    var tokens = 0
    var isOver = false
  }

  /// Turns the events of one prompt's sequences into steps.
  func follow(_ stream: InferenceStream, prompt: Int) async throws {
    let count = job.request.n
    var choices = (0..<count).map { _ in
      Choice(
        assembler: TextAssembler(
          tokenizer, stops: job.stops, skipSpecial: !job.showsSpecialTokens,
          continuing: job.continuesPrompt),
        times: ChoiceTimes(metrics, start: start))
    }
    var open = count
    for try await event in stream {
      let i = event.sequence
      guard choices.indices.contains(i), !choices[i].isOver else { continue }
      hasBegun.store(true, ordering: .relaxed)
      choices[i].times.receive(event.tokens.count)
      choices[i].tokens += event.tokens.count
      var delta = ChoiceDelta(index: prompt * count + i)
      delta.promptTokens = event.prompt
      delta.completionTokens = choices[i].tokens
      for token in event.tokens { delta.append(choices[i].assembler.append(token)) }
      if choices[i].assembler.stop == nil, event.finish != nil {
        delta.append(choices[i].assembler.finish())
      }
      if choices[i].assembler.stop != nil {
        delta.finish = .stop
        stream.cancel(sequence: i)
      } else if let finish = event.finish {
        delta.finish = try Self.finish(finish)
      }
      if let finish = delta.finish {
        choices[i].isOver = true
        open -= 1
        delta.usage = Usage(
          promptTokens: event.usage.promptTokens, cachedTokens: event.usage.cachedTokens,
          completionTokens: choices[i].tokens)
        choices[i].times.finish(finish.rawValue, promptTokens: event.usage.promptTokens)
      }
      yield(.delta(delta))
      if open == 0 { return }
    }
    try Task.checkCancellation()
    throw APIError.server("the engine ended a request without a reason")
  }

  private static func finish(_ reason: FinishReason) throws -> ChoiceDelta.Finish {
    switch reason {
    case .stop: return .stop
    case .length: return .length
    case .cancelled:
      try Task.checkCancellation()
      throw APIError.overloaded("the server is shutting down", retryAfter: 5)
    case .failed(let why): throw APIError.server(why)
    }
  }

  /// Tells now and then that the job is alive, and ends it when its first token does not come.
  func watch(_ options: ServerOptions) async throws {
    var told = start
    while true {
      var next = told + options.keepAlive
      if let limit = options.limits.firstToken, !hasBegun.load(ordering: .relaxed) {
        next = min(next, start + limit)
        if ContinuousClock.now >= start + limit {
          throw APIError.overloaded(
            "no token came within the server's limit of \(limit.components.seconds) s",
            retryAfter: 10)
        }
      }
      try await Task.sleep(until: next, clock: .continuous)
      if ContinuousClock.now >= told + options.keepAlive {
        told = .now
        yield(.alive)
      }
    }
  }
}
