import Inference
import Synchronization

/// What the server counts about requests; the engine's own counts come beside them.
final class ServerMetrics: Sendable {
  struct Counts: Sendable {
    var firstToken = Histogram.firstToken
    var betweenTokens = Histogram.betweenTokens
    var perOutputToken = Histogram.betweenTokens
    var endToEnd = Histogram.request
    var promptTokens = Histogram.tokens
    var generationTokens = Histogram.tokens
    var choices = Histogram.few
    var maxTokens = Histogram.tokens
    /// Finished choices by reason.
    var finished: [String: Int] = [:]
    /// Requests by endpoint and status.
    var responses: [Response: Int] = [:]
  }

  struct Response: Hashable, Sendable {
    var endpoint: String
    var status: Int
  }

  private let counts = Mutex(Counts())

  var current: Counts { counts.withLock { $0 } }

  func record(_ change: (inout Counts) -> Void) { counts.withLock { change(&$0) } }

  func record(_ endpoint: String, status: Int) {
    record { $0.responses[Response(endpoint: endpoint, status: status), default: 0] += 1 }
  }
}

/// Follows one choice through its tokens and counts its times.
struct ChoiceTimes {
  private let metrics: ServerMetrics
  private let start: ContinuousClock.Instant
  private var first: ContinuousClock.Instant?
  private var last: ContinuousClock.Instant
  private var tokens = 0

  init(_ metrics: ServerMetrics, start: ContinuousClock.Instant) {
    self.metrics = metrics
    self.start = start
    last = start
  }

  /// Some tokens have come.
  mutating func receive(_ count: Int) {
    guard count > 0 else { return }
    let now = ContinuousClock.now
    let since = (now - last) / .seconds(1)
    let isFirst = first == nil
    metrics.record {
      if isFirst {
        $0.firstToken.record(since)
        // Tokens that came with the first one took no time of their own.
        if count > 1 { $0.betweenTokens.record(0, times: count - 1) }
      } else {
        $0.betweenTokens.record(since / Double(count), times: count)
      }
    }
    if isFirst { first = now }
    last = now
    tokens += count
  }

  /// The choice has ended.
  func finish(_ reason: String, promptTokens: Int) {
    let total = (ContinuousClock.now - start) / .seconds(1)
    let decode = first.map { (last - $0) / .seconds(1) } ?? 0
    metrics.record {
      $0.endToEnd.record(total)
      $0.promptTokens.record(Double(promptTokens))
      $0.generationTokens.record(Double(tokens))
      if tokens > 1 { $0.perOutputToken.record(decode / Double(tokens - 1)) }
      $0.finished[reason, default: 0] += 1
    }
  }
}
