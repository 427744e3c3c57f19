/// The events of a request, in the order in which they happen.
///
/// Ends when every sequence has ended. Where the iterating task is cancelled, or the stream is
/// dropped before its end, the request is cancelled.
public struct InferenceStream: AsyncSequence, Sendable {
  /// What it gives.
  public typealias Element = SequenceEvent

  let request: UInt64
  let events: AsyncStream<SequenceEvent>
  let mailbox: EngineMailbox

  /// Ends all sequences of the request.
  public func cancel() { mailbox.post(.cancel(request, sequence: nil)) }

  /// Ends one sequence of the request.
  public func cancel(sequence: Int) { mailbox.post(.cancel(request, sequence: sequence)) }

  /// Reads the events, once.
  public func makeAsyncIterator() -> AsyncIterator {
    AsyncIterator(events: events.makeAsyncIterator())
  }

  /// Reads the events.
  public struct AsyncIterator: AsyncIteratorProtocol {
    var events: AsyncStream<SequenceEvent>.AsyncIterator

    /// The next event; `nil` after the last one.
    public mutating func next() async -> SequenceEvent? { await events.next() }

    /// The next event; `nil` after the last one.
    public mutating func next(isolation actor: isolated (any Actor)?) async -> SequenceEvent? {
      await events.next(isolation: actor)
    }
  }
}
