import TestModels
import Testing
import Tokenizers

@Suite(.timeLimit(.minutes(20))) struct LifetimeTests {
  /// A server that has ended lets go of its engine, whatever its clients were doing.
  @Test func anEndedServerLeavesNothing() async throws {
    func serve() async throws -> Lifetime {
      let server = try await TestServer.start()
      #expect(
        try await server.post("/v1/completions", ["prompt": "abc", "max_tokens": 3]).status == 200)
      #expect(try await server.post("/v1/completions", [:]).status == 400)
      let left = try Connection(server.path)
      try left.write(
        TestServer.request(
          "POST", "/v1/completions",
          #"{"prompt": "abc", "max_tokens": 200, "ignore_eos": true, "stream": true}"#))
      #expect(try await !left.more().isEmpty)
      let engine = Lifetime(of: server.engine)
      try await server.stop()
      return engine
    }
    for _ in 0..<3 { #expect(try await serve().ends()) }
  }
}
