/// The figures of one load on one server.
struct LoadRow: Codable {
  /// Some percentiles, in milliseconds.
  struct Times: Codable {
    var mean: Double
    var p50: Double
    var p90: Double
    var p99: Double

    /// - Parameter seconds: what was measured.
    init(_ seconds: [Double]) {
      mean = seconds.isEmpty ? 0 : seconds.reduce(0, +) / Double(seconds.count) * 1_000
      p50 = percentile(seconds, 0.5) * 1_000
      p90 = percentile(seconds, 0.9) * 1_000
      p99 = percentile(seconds, 0.99) * 1_000
    }
  }

  /// Whose figures they are.
  var server: String
  var model: String
  var workload: String
  /// `concurrency` or `rate`, and how much.
  var loadKind: String
  var load: Double
  var choices: Int
  var requests: Int
  var failures: Int
  var seconds: Double
  var promptTokens: Int
  var outputTokens: Int
  var requestsPerSecond: Double
  var outputTokensPerSecond: Double
  /// Time to the first token.
  var ttft: Times
  /// A request's time after the first token, over its further tokens (of one choice).
  var tpot: Times
  /// Time between the tokens of a choice, of all requests together.
  var itl: Times
  /// Time of a whole request.
  var e2e: Times

  init(
    _ result: LoadRun.Result, server: String, model: String, workload: String, loadKind: String,
    load: Double, choices: Int
  ) {
    let good = result.outcomes.filter { $0.problem == nil }
    self.server = server
    self.model = model
    self.workload = workload
    self.loadKind = loadKind
    self.load = load
    self.choices = choices
    requests = result.outcomes.count
    failures = result.outcomes.count - good.count
    seconds = result.duration
    promptTokens = good.reduce(0) { $0 + $1.promptTokens }
    outputTokens = good.reduce(0) { $0 + $1.outputTokens }
    requestsPerSecond = Double(good.count) / max(seconds, 1e-9)
    outputTokensPerSecond = Double(outputTokens) / max(seconds, 1e-9)
    ttft = Times(good.map(\.firstToken))
    tpot = Times(
      good.filter { $0.outputTokens > choices }.map {
        ($0.end - $0.firstToken) / (Double($0.outputTokens) / Double(choices) - 1)
      })
    itl = Times(good.flatMap(\.gaps))
    e2e = Times(good.map(\.end))
  }
}
