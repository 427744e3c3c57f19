public import Devices
import Glibc
public import LanguageModels
import Synchronization
public import Tokenizers

/// Runs many requests on one model at a time, on a thread of its own.
///
/// Requests come and go as they like; each step of the model takes some tokens of every sequence
/// that runs. Keys and values live in one pool of pages; what sequences have in common is kept once.
///
/// ```swift
/// let engine = try InferenceEngine(bundle, device: device)
/// var request = InferenceRequest(prompt: bundle.tokenizer.encode("The capital of France is"))
/// request.maxTokens = 24
/// for await event in try engine.submit(request) {
///   for token in event.tokens { print(token.id) }
/// }
/// await engine.stop(deadline: .seconds(5))
/// ```
///
/// Unless ``EngineOptions/composes`` is set, a request's tokens are the same alone and in any batch, where
/// the processor runs the model.
public final class InferenceEngine: Sendable {
  /// The model, its tokenizer and its chat template.
  public let bundle: ModelBundle
  /// How keys and values are stored, and how much is done at once.
  public let options: EngineOptions
  /// The most tokens of a sequence.
  public let context: Int

  private let limits: RequestLimits
  private let mailbox = EngineMailbox()
  private let published: PublishedStatistics

  /// Makes the pool and starts the thread.
  ///
  /// - Throws: `ModelError` or `EngineFailure` where the options do not fit the model, `ModelError`
  ///   and `PagedKVCache.Failure` where memory is short.
  public init(_ bundle: ModelBundle, device: CPUDevice, options: EngineOptions = .init()) throws {
    self.bundle = bundle
    self.options = options
    published = PublishedStatistics()
    let loop = try EngineLoop(
      bundle, device: device, options: options, mailbox: mailbox, published: published)
    limits = loop.limits
    context = limits.context
    try loop.start()
  }

  deinit { mailbox.stop(by: .now) }

  /// Hands a request to the engine and returns at once.
  ///
  /// - Throws: ``EngineFailure`` where the request is malformed or could never run, where the queue
  ///   is full (`.overloaded`), or where the engine stops.
  public func submit(_ request: InferenceRequest) throws(EngineFailure) -> InferenceStream {
    try limits.check(request)
    let (events, continuation) = AsyncStream.makeStream(of: SequenceEvent.self)
    let mailbox = mailbox
    let id = try mailbox.submit(
      request, limit: options.maxWaiting, retryAfter: published.retryAfter
    ) { id in
      continuation.onTermination = { reason in
        if case .cancelled = reason { mailbox.post(.cancel(id, sequence: nil)) }
      }
      return .stream(continuation)
    }
    return InferenceStream(request: id, events: events, mailbox: mailbox)
  }

  /// The mean of the last layer's normalised hidden vectors of each prompt, scaled to length 1.
  ///
  /// - Returns: For each prompt a vector of as many elements as the model is wide.
  public func embed(_ prompts: [[TokenID]]) async throws(EngineFailure) -> [[Float]] {
    for prompt in prompts { try limits.check(embedding: prompt) }
    let results = await withTaskGroup(of: (Int, Result<[Float], EngineFailure>).self) { group in
      for (i, prompt) in prompts.enumerated() {
        group.addTask { (i, await self.embed(prompt)) }
      }
      var results = [Result<[Float], EngineFailure>](
        repeating: .failure(.cancelled), count: prompts.count)
      for await (i, result) in group { results[i] = result }
      return results
    }
    var vectors: [[Float]] = []
    for result in results { vectors.append(try result.get()) }
    return vectors
  }

  private func embed(_ prompt: [TokenID]) async -> Result<[Float], EngineFailure> {
    let accepted = Mutex<UInt64?>(nil)
    return await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        do throws(EngineFailure) {
          let id = try mailbox.submit(
            InferenceRequest(prompt: prompt), limit: options.maxWaiting,
            retryAfter: published.retryAfter
          ) { _ in .embedding { continuation.resume(returning: $0) } }
          accepted.withLock { $0 = id }
        } catch {
          continuation.resume(returning: .failure(error))
        }
      }
    } onCancel: {
      if let id = accepted.withLock({ $0 }) { mailbox.post(.cancel(id, sequence: nil)) }
    }
  }

  /// What the engine does and has done, as of its last step.
  public func statistics() -> EngineStatistics {
    var statistics = published.value
    statistics.waiting = mailbox.waiting + statistics.waiting
    return statistics
  }

  /// Takes no more requests and returns when those accepted have ended.
  ///
  /// - Parameter deadline: What has not ended by then is cancelled.
  public func stop(deadline: Duration) async {
    await withCheckedContinuation { continuation in
      mailbox.stop(by: .now + deadline) { continuation.resume() }
    }
  }

  /// Checks, between two steps, that every page is where it should be and counted right.
  ///
  /// - Throws: ``EngineIntegrity`` where something is inconsistent.
  public func checkIntegrity() async throws(EngineIntegrity) {
    let found = await withCheckedContinuation { continuation in
      mailbox.post(.check { continuation.resume(returning: $0) })
    }
    if let found { throw found }
  }
}

/// What is inconsistent in an engine: a mistake of the engine's, never of its callers'.
public struct EngineIntegrity: Error, Sendable, Hashable, CustomStringConvertible {
  /// What is inconsistent.
  public let description: String
}

/// The last statistics that the thread has left for others to read.
final class PublishedStatistics: Sendable {
  private let statistics = Mutex(EngineStatistics())
  private let pace = Mutex(QueuePace())

  var value: EngineStatistics {
    get { statistics.withLock { $0 } }
    set { statistics.withLock { $0 = newValue } }
  }

  /// About how long it takes until a place in the queue is free.
  var retryAfter: Duration { pace.withLock { $0.wait(at: .now) } }

  /// Some requests have left the queue.
  func left(_ count: Int) { pace.withLock { $0.left(count, at: .now) } }
}
