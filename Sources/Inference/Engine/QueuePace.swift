/// How fast requests leave the queue, to tell those who find it full when to come again.
package struct QueuePace: Sendable {
  private var last: ContinuousClock.Instant?
  /// The mean time between two that left, recent ones counting most.
  private var interval: Duration?

  /// Nothing is known.
  package init() {}

  /// Some requests have left the queue.
  package mutating func left(_ count: Int, at now: ContinuousClock.Instant) {
    guard count > 0 else { return }
    if let last {
      let each = (now - last) / count
      // An eighth of the weight for each of them.
      let weight = 1 - (0..<min(count, 64)).reduce(1.0) { old, _ in old * 0.875 }
      interval = (interval ?? each) * (1 - weight) + each * weight
    }
    last = now
  }

  /// About how long it takes from `now` until a place in the queue is free; at least as long as
  /// nothing has left for.
  package func wait(at now: ContinuousClock.Instant) -> Duration {
    max(interval ?? .seconds(1), last.map { now - $0 } ?? .zero)
  }
}
