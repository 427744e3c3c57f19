import Inference
import LanguageModels
import NIOCore
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
  /// The job is cancelled when the client leaves, whether it waits, reads its prompt or generates,
  /// and when its first token is late.
  ///
  /// - Parameter timers: where time is kept.
  init(
    _ job: GenerationJob, on engine: InferenceEngine, metrics: ServerMetrics,
    options: ServerOptions, presence: ClientPresence, timers: any EventLoop
  ) throws(APIError) {
    let start = ContinuousClock.now
    var submitted: [InferenceStream] = []
    for prompt in job.prompts {
      var request = job.request
      request.prompt = prompt
      do {
        submitted.append(try engine.submit(request))
      } catch {
        for stream in submitted { stream.cancel() }
        throw APIError(error)
      }
    }
    let streams = submitted
    let (events, continuation) = AsyncThrowingStream<Event, any Error>.makeStream()
    self.events = events
    metrics.record {
      $0.choices.record(Double(job.request.n))
      $0.maxTokens.record(Double(job.request.maxTokens))
    }
    let follower = Follower(
      job: job, tokenizer: engine.bundle.tokenizer, metrics: metrics, start: start,
      yield: { continuation.yield($0) })
    let alive = timers.scheduleRepeatedTask(
      initialDelay: TimeAmount(options.keepAlive), delay: TimeAmount(options.keepAlive)
    ) { _ in continuation.yield(.alive) }
    let late = options.limits.firstToken.map { limit in
      timers.scheduleTask(in: TimeAmount(limit)) {
        guard !follower.hasBegun else { return }
        continuation.finish(
          throwing: APIError.overloaded(
            "no token came within the server's limit of \(limit.components.seconds) s",
            retryAfter: 10))
      }
    }
    // Whatever ends the run ends what is left of the job.
    continuation.onTermination = { _ in
      alive.cancel()
      late?.cancel()
      for stream in streams { stream.cancel() }
    }
    presence.whenLeft { continuation.finish(throwing: CancellationError()) }
    let open = Counter(streams.count)
    for (prompt, stream) in streams.enumerated() {
      Task {
        do {
          try await follower.follow(stream, prompt: prompt)
          if open.decrement() == 0 { continuation.finish() }
        } catch {
          continuation.finish(throwing: error)
        }
      }
    }
  }
}

/// Counts down from any thread.
private final class Counter: Sendable {
  private let value: Atomic<Int>

  init(_ value: Int) { self.value = Atomic(value) }

  func decrement() -> Int { value.subtract(1, ordering: .relaxed).newValue }
}

/// Reads the engine's streams of one job.
private final class Follower: Sendable {
  private let job: GenerationJob
  private let tokenizer: Tokenizer
  private let metrics: ServerMetrics
  private let start: ContinuousClock.Instant
  private let yield: @Sendable (GenerationRun.Event) -> Void
  private let begun = Atomic(false)

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

  /// Whether a token has come.
  var hasBegun: Bool { begun.load(ordering: .relaxed) }

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
      begun.store(true, ordering: .relaxed)
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
    throw APIError.server("the engine ended a request without a reason")
  }

  private static func finish(_ reason: FinishReason) throws -> ChoiceDelta.Finish {
    switch reason {
    case .stop: return .stop
    case .length: return .length
    // Where it was cancelled for the run's sake, nobody hears this any more.
    case .cancelled: throw APIError.overloaded("the server is shutting down", retryAfter: 5)
    case .failed(let why): throw APIError.server(why)
    }
  }
}
