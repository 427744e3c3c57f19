import Inference
import LanguageModels
import Serving
import Testing
import TestModels
import Tokenizers

@Suite(.timeLimit(.minutes(20))) struct BehaviourTests {
  /// A request that would go on for long.
  static let long: JSON = [
    "prompt": "x", "max_tokens": 200_000, "ignore_eos": true, "temperature": 0,
  ]

  static func endless() -> TinyModel {
    var model = TinyModel()
    model.context = 1 << 18
    return model
  }

  @Test func aConnectionIsKept() async throws {
    let server = try await TestServer.start()
    let connection = try Connection(server.path)
    for _ in 0..<3 {
      try connection.write(
        TestServer.request("POST", "/v1/completions", #"{"prompt": "x", "max_tokens": 2}"#))
      #expect(try await connection.read().status == 200)
    }
    // Two at once are answered in order.
    try connection.write(
      TestServer.request("GET", "/health") + TestServer.request("GET", "/nothing"))
    #expect(try await connection.read().status == 200)
    #expect(try await connection.read().status == 404)
    try await server.stop()
  }

  @Test(arguments: [false, true], [false, true])
  func aClientThatLeavesEndsItsRequest(streams: Bool, politely: Bool) async throws {
    let server = try await TestServer.start(Self.endless())
    do {
      let connection = try Connection(server.path)
      let body = GenerationTests.with(Self.long, ("stream", .bool(streams)))
      try connection.write(TestServer.request("POST", "/v1/completions", body.text))
      if streams {
        _ = try await connection.more()
      } else {
        #expect(try await server.becomes { $0.running > 0 })
      }
      if politely { connection.endWriting() }
      if politely { #expect(try await server.becomesIdle()) }
    }
    #expect(try await server.becomesIdle())
    try await server.stop()
  }

  @Test func aFullQueueRefuses() async throws {
    var options = EngineOptions()
    options.maxRunning = 1
    options.maxWaiting = 1
    let server = try await TestServer.start(Self.endless(), engine: options)
    let first = try Connection(server.path)
    try first.write(TestServer.request("POST", "/v1/completions", Self.long.text))
    #expect(try await server.becomes { $0.running > 0 })
    let second = try Connection(server.path)
    try second.write(TestServer.request("POST", "/v1/completions", Self.long.text))
    #expect(try await server.becomes { $0.waiting > 0 })
    let reply = try await server.post("/v1/completions", Self.long)
    #expect(reply.status == 503)
    #expect(reply.error("code") == "overloaded")
    #expect((reply.headers["retry-after"].flatMap { Int($0) } ?? 0) >= 1)
    first.endWriting()
    second.endWriting()
    #expect(try await server.becomesIdle())
    try await server.stop()
  }

  @Test func aLateFirstTokenEndsTheRequest() async throws {
    var options = EngineOptions()
    options.maxRunning = 1
    let server = try await TestServer.start(Self.endless(), engine: options) {
      $0.limits.firstToken = .seconds(1)
    }
    // Not by the server: the first request has all the time it needs for its first token.
    var long = InferenceRequest(prompt: server.engine.bundle.tokenizer.encode("x"))
    long.maxTokens = 200_000
    long.ignoresEndOfGeneration = true
    let first = try server.engine.submit(long)
    #expect(try await server.becomes { $0.running > 0 })
    #expect(try await server.post("/v1/completions", Self.long).status == 503)
    let streamed = try await server.post(
      "/v1/completions", GenerationTests.with(Self.long, ("stream", true)))
    #expect(streamed.events.count == 1)
    #expect(streamed.events.first?["error"]?["code"] == "overloaded")
    first.cancel()
    #expect(try await server.becomesIdle())
    try await server.stop()
  }

  @Test func aSilentStreamShowsThatItLives() async throws {
    var options = EngineOptions()
    options.maxRunning = 1
    let server = try await TestServer.start(Self.endless(), engine: options) {
      $0.keepAlive = .milliseconds(20)
    }
    let first = try Connection(server.path)
    try first.write(TestServer.request("POST", "/v1/completions", Self.long.text))
    #expect(try await server.becomes { $0.running > 0 })
    let second = try Connection(server.path)
    let body = GenerationTests.with(Self.long, ("stream", true))
    try second.write(TestServer.request("POST", "/v1/completions", body.text))
    var text = ""
    while !text.contains(": keep-alive\n\n") {
      let more = try await second.more()
      try #require(!more.isEmpty, "the stream ended: \(text)")
      text += String(decoding: more, as: UTF8.self)
    }
    first.endWriting()
    second.endWriting()
    #expect(try await server.becomesIdle())
    try await server.stop()
  }

  @Test func metricsCountWhatHappened() async throws {
    let server = try await TestServer.start { $0.metricsPrefix = "vllm:" }
    _ = try await server.post(
      "/v1/completions", ["prompt": "abc", "max_tokens": 5, "ignore_eos": true])
    _ = try await server.post("/v1/completions", [:])
    #expect(try await server.becomesIdle())
    let text = try await server.send("GET", "/metrics").text
    let model = #"model_name="tiny""#
    for line in [
      "vllm:prompt_tokens_total{\(model)} 3", "vllm:generation_tokens_total{\(model)} 5",
      "vllm:num_requests_running{\(model)} 0", "vllm:kv_cache_usage_perc{\(model)} 0",
      "vllm:time_to_first_token_seconds_count{\(model)} 1",
      "vllm:inter_token_latency_seconds_count{\(model)} 4",
      #"vllm:request_generation_tokens_bucket{\#(model),le="5"} 1"#,
      #"vllm:request_generation_tokens_bucket{\#(model),le="2"} 0"#,
      #"vllm:request_success_total{\#(model),finished_reason="length"} 1"#,
      #"vllm:http_requests_total{\#(model),path="/v1/completions",status="400"} 1"#,
      "# TYPE vllm:e2e_request_latency_seconds histogram",
    ] { #expect(text.contains(line + "\n"), "\(line)") }
    try await server.stop()
  }

  @Test func integrityCanBeAskedFor() async throws {
    let server = try await TestServer.start()
    _ = try await server.post("/v1/completions", ["prompt": "abc", "max_tokens": 5, "n": 3])
    let reply = try await server.send("GET", "/debug/integrity")
    #expect(reply.status == 200 && reply.json["status"] == "ok")
    try await server.stop()
  }

  @Test func thePageNeedsNothingElse() async throws {
    let server = try await TestServer.start()
    let page = try await server.send("GET", "/")
    #expect(page.headers["content-type"] == "text/html; charset=utf-8")
    #expect(page.headers["content-security-policy"]?.hasPrefix("default-src 'none'") == true)
    #expect(page.text.hasPrefix("<!doctype html>"))
    #expect(!page.text.contains("src=\"http") && !page.text.contains("href=\"http"))
    let head = try await server.send("HEAD", "/")
    #expect(head.status == 200 && head.body.isEmpty)
    // An answer to HEAD has no body, an error neither: the next answer follows at once.
    let connection = try Connection(server.path)
    try connection.write(
      TestServer.request("HEAD", "/nothing") + TestServer.request("GET", "/health"))
    #expect(try await connection.read(method: "HEAD").status == 404)
    #expect(try await connection.read().json["status"] == "ok")
    try await server.stop()
  }
}
