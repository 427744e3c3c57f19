import Inference
import Serving
import Testing
import TestModels
import Tokenizers

@Suite(.timeLimit(.minutes(20))) struct GenerationTests {
  static let chat: JSON = [
    "messages": [["role": "user", "content": "hello"]], "max_tokens": 12, "temperature": 0,
    "ignore_eos": true,
  ]

  static func with(_ base: JSON, _ members: (String, JSON)...) -> JSON {
    guard case .object(var all) = base else { return base }
    for (name, value) in members {
      all.removeAll { $0.name == name }
      all.append(.init(name, value))
    }
    return .object(all)
  }

  @Test func aChatIsAnswered() async throws {
    let server = try await TestServer.start()
    let reply = try await server.post("/v1/chat/completions", Self.chat)
    #expect(reply.status == 200)
    #expect(reply.json["object"] == "chat.completion")
    #expect(reply.json["model"] == "tiny")
    let choice = try #require(reply.json["choices"]?.array?.first)
    #expect(choice["finish_reason"] == "length")
    #expect(choice["message"]?["role"] == "assistant")
    #expect(reply.json["usage"]?["completion_tokens"] == 12)
    // <|user|> hello <|end|> <|assistant|>, a token a byte.
    #expect(reply.json["usage"]?["prompt_tokens"] == 8)
    try await server.stop()
  }

  @Test func aStreamIsTheAnswerInPieces() async throws {
    let server = try await TestServer.start()
    let whole = try await server.post("/v1/chat/completions", Self.chat)
    let request = Self.with(
      Self.chat, ("stream", true), ("stream_options", ["include_usage": true]))
    let reply = try await server.post("/v1/chat/completions", request)
    #expect(reply.headers["content-type"] == "text/event-stream; charset=utf-8")
    let events = reply.events
    #expect(events.last == "[DONE]")
    let text = events.compactMap {
      $0["choices"]?.array?.first?["delta"]?["content"]?.string
    }.joined()
    #expect(.string(text) == whole.json["choices"]?.array?.first?["message"]?["content"])
    #expect(events.dropLast().last?["usage"] == whole.json["usage"])
    // Every chunk may tell how far the choice has come.
    let counted = try await server.post(
      "/v1/chat/completions",
      Self.with(
        Self.chat, ("stream", true),
        ("stream_options", ["include_usage": true, "continuous_usage_stats": true])))
    let counts = counted.events.compactMap { $0["usage"]?["completion_tokens"]?.integer }
    #expect(counts == counts.sorted() && Set(counts).count > 3)
    #expect(.integer(counts.last ?? 0) == whole.json["usage"]?["completion_tokens"])
    #expect(counted.events.first?["usage"]?["prompt_tokens"] == 8)
    try await server.stop()
  }

  @Test func choicesOfSeveralPromptsAreNumbered() async throws {
    let server = try await TestServer.start()
    let request: JSON = [
      "prompt": ["ab", "cdef"], "n": 3, "max_tokens": 5, "seed": 7, "ignore_eos": true,
    ]
    let reply = try await server.post("/v1/completions", request)
    let choices = try #require(reply.json["choices"]?.array)
    #expect(choices.map { $0["index"] } == (0..<6).map { .integer($0) })
    #expect(reply.json["usage"]?["prompt_tokens"] == 6)
    #expect(reply.json["usage"]?["completion_tokens"] == 30)
    // The same seed, each prompt alone.
    let alone = try await server.post(
      "/v1/completions", Self.with(request, ("prompt", "cdef")))
    #expect(alone.json["choices"]?.array?.map { $0["text"] } == choices[3...].map { $0["text"] })
    try await server.stop()
  }

  @Test func aStopStringIsNotShown() async throws {
    let server = try await TestServer.start()
    let request: JSON = [
      "prompt": "q", "max_tokens": 40, "temperature": 0, "ignore_eos": true,
      "logit_bias": ["97": 100, "98": 100], "frequency_penalty": 2,
    ]
    // Two tokens only, which take turns once penalties pull the one below the other.
    let text = try await server.post("/v1/completions", request).json["choices"]?.array?[0]["text"]
    let whole = try #require(text?.string)
    #expect(whole.allSatisfy { $0 == "a" || $0 == "b" } && whole.count == 40)
    let stop = String(whole.dropFirst(9).prefix(5))
    let cut = try #require(whole.firstRange(of: stop)).lowerBound
    for streams in [false, true] {
      let reply = try await server.post(
        "/v1/completions", Self.with(request, ("stop", .string(stop)), ("stream", .bool(streams))))
      let choices =
        streams
        ? reply.events.compactMap { $0["choices"]?.array?.first }
        : reply.json["choices"]?.array ?? []
      #expect(choices.compactMap { $0["text"]?.string }.joined() == whole[..<cut])
      #expect(choices.last?["finish_reason"] == "stop")
    }
    try await server.stop()
  }

  @Test func logprobsAreThoseOfTheTokens() async throws {
    let server = try await TestServer.start()
    let reply = try await server.post(
      "/v1/completions",
      ["prompt": "hi there", "max_tokens": 0, "echo": true, "logprobs": 2])
    let table = try #require(reply.json["choices"]?.array?.first?["logprobs"])
    #expect(table["tokens"]?.array?.compactMap(\.string).joined() == "hi there")
    #expect(table["text_offset"]?.array == (0..<8).map { .integer($0) })
    #expect(table["token_logprobs"]?.array?.first == .null)
    let scores = table["token_logprobs"]?.array?.dropFirst().compactMap(\.double) ?? []
    #expect(scores.count == 7 && scores.allSatisfy { $0 < 0 })
    // The probability of "e" after "hi th", asked for in another way.
    let next = try await server.post(
      "/v1/completions",
      ["prompt": "hi th", "max_tokens": 1, "logprobs": 0, "logit_bias": ["101": 100]])
    let score = try #require(
      next.json["choices"]?.array?.first?["logprobs"]?["token_logprobs"]?.array?.first?.double)
    #expect(abs(score - scores[4]) < 1e-2)
    try await server.stop()
  }

  @Test func embeddingsHaveLengthOne() async throws {
    let server = try await TestServer.start()
    let reply = try await server.post("/v1/embeddings", ["input": ["one", "two"]])
    let data = try #require(reply.json["data"]?.array)
    #expect(data.count == 2)
    for item in data {
      let vector = item["embedding"]?.array?.compactMap(\.double) ?? []
      #expect(vector.count == 32)
      #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-3)
    }
    try await server.stop()
  }
}
