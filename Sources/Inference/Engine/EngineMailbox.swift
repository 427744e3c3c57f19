import Glibc
import Synchronization

/// What callers tell the engine's thread.
enum EngineMessage: Sendable {
  /// Run a request.
  case submit(Submission)
  /// End a request's sequences, or one of them.
  case cancel(UInt64, sequence: Int?)
  /// Report what is inconsistent, between two steps.
  case check(@Sendable (EngineIntegrity?) -> Void)
}

/// A request on its way to the engine's thread.
struct Submission: Sendable {
  let id: UInt64
  let request: InferenceRequest
  let sink: EventSink
}

/// Who hears of a request's sequences.
enum EventSink: Sendable {
  /// Tokens as they come.
  case stream(AsyncStream<SequenceEvent>.Continuation)
  /// The mean of the last hidden vectors, at the end.
  case embedding(@Sendable (Result<[Float], EngineFailure>) -> Void)
}

/// Where callers leave messages for the engine's thread, which sleeps while there are none.
final class EngineMailbox: @unchecked Sendable {
  /// Since when and until when the engine stops.
  enum Stop: Sendable {
    /// Nothing new is taken; what was accepted goes on until the deadline.
    case draining(until: ContinuousClock.Instant)
    /// The thread has ended.
    case stopped
  }

  private struct State {
    var messages: [EngineMessage] = []
    var stop: Stop?
    /// Requests that were accepted and do not run yet.
    var waiting = 0
    var nextRequest: UInt64 = 0
    var onStopped: [@Sendable () -> Void] = []
  }

  private let state = Mutex(State())
  /// Raised once for every message; lives at a fixed address until `deinit`.
  private let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

  init() { sem_init(semaphore, 0, 0) }

  deinit {
    sem_destroy(semaphore)
    semaphore.deallocate()
  }

  /// Leaves a message; after the thread's end nobody reads it.
  func post(_ message: EngineMessage) {
    let isLate = state.withLock { state in
      if case .stopped = state.stop { return true }
      state.messages.append(message)
      return false
    }
    if isLate {
      Self.refuse(message)
    } else {
      sem_post(semaphore)
    }
  }

  /// Leaves a request, unless the engine stops or `limit` requests wait.
  func submit(
    _ request: InferenceRequest, limit: Int, retryAfter: Duration,
    sink: (_ id: UInt64) -> EventSink
  ) throws(EngineFailure) -> UInt64 {
    let accepted: Result<UInt64, EngineFailure> = state.withLock { state in
      if state.stop != nil { return .failure(.stopped) }
      guard state.waiting < limit else { return .failure(.overloaded(retryAfter: retryAfter)) }
      state.waiting += 1
      state.nextRequest += 1
      let id = state.nextRequest
      state.messages.append(.submit(Submission(id: id, request: request, sink: sink(id))))
      return .success(id)
    }
    let id = try accepted.get()
    sem_post(semaphore)
    return id
  }

  /// A request waits no longer.
  func left() { state.withLock { $0.waiting -= 1 } }

  /// Requests that wait.
  var waiting: Int { state.withLock { $0.waiting } }

  /// All messages since the last call, and whether the engine stops.
  ///
  /// - Parameter sleeps: Whether to wait where there is nothing to tell.
  func take(sleeps: Bool) -> (messages: [EngineMessage], stop: Stop?) {
    while true {
      let (messages, stop) = state.withLock { state in
        defer { state.messages.removeAll(keepingCapacity: true) }
        return (state.messages, state.stop)
      }
      if !messages.isEmpty || stop != nil || !sleeps { return (messages, stop) }
      // A signal may end the wait early: then the state is looked at again.
      sem_wait(semaphore)
    }
  }

  /// Takes nothing new from now on; calls `onStopped` when the thread has ended.
  func stop(by deadline: ContinuousClock.Instant, onStopped: (@Sendable () -> Void)? = nil) {
    let isOver = state.withLock { state in
      switch state.stop {
      case .stopped: return true
      case .draining(let earlier): state.stop = .draining(until: min(earlier, deadline))
      case nil: state.stop = .draining(until: deadline)
      }
      if let onStopped { state.onStopped.append(onStopped) }
      return false
    }
    if isOver { onStopped?() } else { sem_post(semaphore) }
  }

  /// The thread has ended.
  func ended() {
    let (messages, waiting) = state.withLock { state in
      defer { (state.messages, state.onStopped) = ([], []) }
      state.stop = .stopped
      return (state.messages, state.onStopped)
    }
    for message in messages { Self.refuse(message) }
    for report in waiting { report() }
  }

  /// Tells the sender of a message that nobody reads it.
  private static func refuse(_ message: EngineMessage) {
    switch message {
    case .submit(let submission):
      switch submission.sink {
      case .stream(let events): events.finish()
      case .embedding(let report): report(.failure(.stopped))
      }
    case .cancel: break
    case .check(let report): report(nil)
    }
  }
}
