import Inference
import Logging
import ServiceLifecycle

extension InferenceServer {
  /// All metrics in Prometheus' text format, under the base names that vLLM uses.
  var metricsText: String {
    let counts = metrics.current
    let engine = engine.statistics()
    var text = PrometheusText(
      prefix: options.metricsPrefix, labels: [("model_name", served.name)])
    text.gauge(
      "num_requests_running", "Sequences being computed.", Double(engine.running))
    text.gauge("num_requests_waiting", "Requests in the queue.", Double(engine.waiting))
    text.gauge("kv_cache_usage_perc", "Share of the cache's pages in use, 0 to 1.", engine.kvUsage)
    text.counter(
      "num_preemptions_total", "Sequences put back for want of pages.", engine.preemptions)
    text.counter(
      "prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
      engine.prefixQueries)
    text.counter(
      "prefix_cache_hits_total", "Prompt tokens found in the prefix cache.", engine.prefixHits)
    text.counter("prompt_tokens_total", "Prompt tokens processed.", engine.promptTokens)
    text.counter("generation_tokens_total", "Tokens generated.", engine.generationTokens)
    text.counter(
      "spec_decode_num_draft_tokens_total", "Tokens guessed.", engine.draftTokens)
    text.counter(
      "spec_decode_num_accepted_tokens_total", "Guessed tokens that were right.",
      engine.acceptedTokens)
    text.counter(
      "request_success_total", "Finished choices by reason.",
      counts.finished.sorted { $0.key < $1.key }.map { ([("finished_reason", $0.key)], $0.value) })
    text.counter(
      "http_requests_total", "Requests by path and status.",
      counts.responses
        .sorted { ($0.key.endpoint, $0.key.status) < ($1.key.endpoint, $1.key.status) }
        .map { ([("path", $0.key.endpoint), ("status", String($0.key.status))], $0.value) })
    text.histogram(
      "time_to_first_token_seconds", "From the request to its first token.", counts.firstToken)
    text.histogram(
      "inter_token_latency_seconds", "Between two tokens of a choice.", counts.betweenTokens)
    text.histogram(
      "request_time_per_output_token_seconds", "Mean time between tokens of a choice.",
      counts.perOutputToken)
    text.histogram(
      "e2e_request_latency_seconds", "From the request to its last token.", counts.endToEnd)
    text.histogram("request_prompt_tokens", "Prompt tokens of a choice.", counts.promptTokens)
    text.histogram(
      "request_generation_tokens", "Generated tokens of a choice.", counts.generationTokens)
    text.histogram("request_params_n", "Choices asked for.", counts.choices)
    text.histogram("request_params_max_tokens", "Tokens allowed.", counts.maxTokens)
    return text.text
  }
}

/// Tells the throughput now and then, while there is any.
struct Throughput: Service {
  let server: InferenceServer

  func run() async throws {
    guard let interval = server.options.throughputInterval else {
      try? await gracefulShutdown()
      return
    }
    await cancelWhenGracefulShutdown {
      var last = server.engine.statistics()
      var time = ContinuousClock.now
      while (try? await Task.sleep(for: interval)) != nil {
        let now = server.engine.statistics()
        let seconds = (ContinuousClock.now - time) / .seconds(1)
        if let line = Self.line(from: last, to: now, seconds: seconds) {
          server.logger.info("\(line)")
        }
        last = now
        time = .now
      }
    }
  }

  /// One line, or nil where nothing happened.
  private static func line(
    from last: EngineStatistics, to now: EngineStatistics, seconds: Double
  ) -> String? {
    let prompt = now.promptTokens - last.promptTokens
    let generated = now.generationTokens - last.generationTokens
    guard prompt + generated + now.running + now.waiting > 0 else { return nil }
    let queries = now.prefixQueries - last.prefixQueries
    let hits = now.prefixHits - last.prefixHits
    func tenths(_ value: Double) -> String {
      let whole = Int((value * 10).rounded())
      return "\(whole / 10).\(whole % 10)"
    }
    return "prompt \(tenths(Double(prompt) / seconds)) tok/s, "
      + "generation \(tenths(Double(generated) / seconds)) tok/s, running \(now.running), "
      + "waiting \(now.waiting), cache \(tenths(now.kvUsage * 100)) % used"
      + (queries > 0 ? ", \(tenths(Double(hits) / Double(queries) * 100)) % of prompts found" : "")
  }
}
