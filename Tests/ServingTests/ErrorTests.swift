import Serving
import Testing
import TestModels
import Tokenizers

@Suite(.timeLimit(.minutes(20))) struct ErrorTests {
  /// Bodies of `/v1/chat/completions` and the field that is to blame.
  static let refused: [(String, String)] = [
    (#"{}"#, "messages"),
    (#"{"messages": []}"#, "messages"),
    (#"{"messages": [{"role": "user"}]}"#, "messages[0].content"),
    (#"{"messages": [{"role": "king", "content": "x"}]}"#, "messages[0].role"),
    (
      #"{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}"#,
      "messages[0].content[0].type"
    ),
    (#"{"messages": [{"role": "tool", "content": "x"}]}"#, "messages[0].tool_call_id"),
    (field(#""colour": 1"#), "colour"),
    (field(#""temperature": 2.5"#), "temperature"),
    (field(#""temperature": "1""#), "temperature"),
    (field(#""top_p": 0"#), "top_p"),
    (field(#""n": 0"#), "n"),
    (field(#""max_tokens": 0"#), "max_tokens"),
    (field(#""max_tokens": 1.5"#), "max_tokens"),
    (field(#""max_tokens": 100000"#), "messages"),
    (field(#""max_tokens": 9223372036854775807"#), "messages"),
    (field(#""stop": [1]"#), "stop[0]"),
    (field(#""stop": """#), "stop"),
    (field(#""logit_bias": {"260": 1}"#), "logit_bias.260"),
    (field(#""logit_bias": {"1": 101}"#), "logit_bias.1"),
    (field(#""logit_bias": [1]"#), "logit_bias"),
    (field(#""top_logprobs": 1"#), "top_logprobs"),
    (field(#""stream_options": {"include_usage": true}"#), "stream_options"),
    (field(#""stream": true, "stream_options": {"x": 1}"#), "stream_options.x"),
    (field(#""store": true"#), "store"),
    (field(#""functions": []"#), "functions"),
    (field(#""tool_choice": "required""#), "tool_choice"),
    (field(#""tools": [{"type": "function", "function": {}}]"#), "tools[0].function.name"),
    (field(#""response_format": {"type": "yaml"}"#), "response_format.type"),
    (field(#""response_format": {"type": "json_schema"}"#), "response_format.json_schema"),
    (field(#""structured_outputs": {"regex": "a", "choice": ["a"]}"#), "structured_outputs"),
    (field(#""min_tokens": 5, "max_tokens": 4"#), "min_tokens"),
  ]

  static func field(_ member: String) -> String {
    #"{"messages": [{"role": "user", "content": "x"}], \#(member)}"#
  }

  @Test func aWrongFieldIsNamed() async throws {
    let server = try await TestServer.start()
    for (body, param) in Self.refused {
      let reply = try await server.send("POST", "/v1/chat/completions", body)
      #expect(reply.status == 400, "\(body)")
      #expect(reply.error("param") == .string(param), "\(body): \(reply.text)")
      #expect(reply.error("type") == "invalid_request_error")
      #expect(reply.error("message")?.string?.isEmpty == false)
    }
    let refused: [(String, JSON, String)] = [
      ("/v1/completions", [:], "prompt"), ("/v1/completions", ["prompt": [1, 300]], "prompt[1]"),
      ("/v1/completions", ["prompt": "x", "suffix": "y"], "suffix"),
      ("/v1/completions", ["prompt": "x", "best_of": 2], "best_of"),
      ("/v1/completions", ["prompt": ""], "prompt"),
      ("/v1/completions", ["prompt": "x", "max_tokens": 0], "max_tokens"),
      ("/v1/embeddings", ["input": [["x"]]], "input[0][0]"),
      ("/v1/embeddings", ["input": "x", "dimensions": 3], "dimensions"),
      ("/tokenize", [:], "prompt"), ("/detokenize", ["tokens": [-1]], "tokens[0]"),
    ]
    for (path, body, param) in refused {
      let reply = try await server.post(path, body)
      #expect(reply.status == 400, "\(path) \(body.text)")
      #expect(reply.error("param") == .string(param), "\(path) \(body.text): \(reply.text)")
    }
    try await server.stop()
  }

  @Test func nullIsAbsent() async throws {
    let server = try await TestServer.start()
    let reply = try await server.send(
      "POST", "/v1/chat/completions",
      Self.field(#""max_tokens": 2, "stop": null, "tools": null, "store": null, "n": null"#))
    #expect(reply.status == 200)
    try await server.stop()
  }

  @Test func whatIsNoRequestIsRefused() async throws {
    let server = try await TestServer.start { $0.limits.body = 1000 }
    let path = "/v1/chat/completions"
    let cases: [(String, String, String?, String, Int)] = [
      ("POST", path, "{", "application/json", 400), ("POST", path, "[]", "application/json", 400),
      ("POST", path, "{}", "text/plain", 415), ("GET", path, nil, "", 405),
      ("POST", path, String(repeating: " ", count: 1001), "application/json", 413),
      ("GET", "/nothing", nil, "", 404), ("POST", "/health", "{}", "application/json", 405),
    ]
    for (method, path, body, type, status) in cases {
      let reply = try await server.send(method, path, body, type: type)
      #expect(reply.status == status, "\(method) \(path)")
      #expect(reply.error("message") != nil, "\(reply.text)")
    }
    for text in ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\nbad header\r\n\r\n", "\u{0}\u{1}\r\n\r\n"] {
      let connection = try Connection(server.path)
      try connection.write(text)
      let reply = try await connection.read()
      #expect(reply.status == 400)
      #expect(reply.error("message") != nil)
    }
    let connection = try Connection(server.path)
    try connection.write("POST /tokenize HTTP/1.1\r\nContent-Length: 50\r\n\r\nhalf")
    connection.endWriting()
    #expect(try await connection.read().status == 400)
    try await server.stop()
  }

  @Test func onlyKeysOpen() async throws {
    let server = try await TestServer.start { $0.apiKeys = ["one", "second key"] }
    for (key, status) in [
      ("one", 200), ("second key", 200), ("on", 401), ("onf", 401), ("onee", 401), ("", 401),
    ] {
      let reply = try await server.send(
        "GET", "/v1/models", headers: ["Authorization: Bearer \(key)"])
      #expect(reply.status == status, "\(key)")
    }
    #expect(try await server.send("GET", "/v1/models").status == 401)
    #expect(try await server.send("GET", "/health").status == 200)
    try await server.stop()
  }

  @Test func modelsAreListedAndFound() async throws {
    let server = try await TestServer.start()
    let list = try await server.send("GET", "/v1/models")
    #expect(list.json["data"]?.array?.map { $0["id"] } == ["tiny", "org/alias"])
    #expect(try await server.send("GET", "/v1/models/org/alias").json["id"] == "org/alias")
    #expect(try await server.send("GET", "/v1/models/org%2Falias").json["id"] == "org/alias")
    #expect(try await server.send("GET", "/v1/models/other").error("code") == "model_not_found")
    let other = try await server.post("/v1/completions", ["model": "other", "prompt": "x"])
    #expect(other.status == 404)
    try await server.stop()
  }
}
