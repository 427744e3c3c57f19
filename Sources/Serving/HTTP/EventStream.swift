import HTTPTypes
import Hummingbird
import NIOCore
import Tokenizers

/// An answer as server-sent events.
enum EventStream {
  /// Streams a run: a chunk for each step, the usage where it is wanted, `[DONE]`.
  ///
  /// - Parameter ended: called once with what the run cost and whether it came to its end.
  static func response(
    _ run: GenerationRun, answer: some Answer, includesUsage: Bool,
    ended: @escaping @Sendable (Usage, Bool) -> Void
  ) -> Response {
    let body = ResponseBody { writer in
      var answer = answer
      var usage = Usage()
      var isWhole = false
      defer { ended(usage, isWhole) }
      let header = answer.header
      do {
        var hasWritten = false
        for try await event in run.events {
          switch event {
          case .alive:
            // A comment, which clients skip: proxies see that the connection lives.
            if !hasWritten { try await writer.write(ByteBuffer(string: ": keep-alive\n\n")) }
            hasWritten = false
          case .delta(let delta):
            usage.add(delta, choices: answer.choices)
            let chunks = answer.receive(delta)
            if chunks.isEmpty { continue }
            var buffer = ByteBuffer()
            for chunk in chunks {
              buffer.writeEvent(header.json([chunk], usage: includesUsage ? .null : nil))
            }
            try await writer.write(buffer)
            hasWritten = true
          }
        }
        // A cancelled iteration ends as if nothing were left.
        try Task.checkCancellation()
        var buffer = ByteBuffer()
        if includesUsage { buffer.writeEvent(header.json([], usage: usage.json)) }
        buffer.writeString("data: [DONE]\n\n")
        isWhole = true
        try await writer.write(buffer)
      } catch let error as APIError {
        var buffer = ByteBuffer()
        buffer.writeEvent(error.json)
        try await writer.write(buffer)
      }
      try await writer.finish(nil)
    }
    var headers: HTTPFields = [
      .contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache",
    ]
    // Asks nginx to pass events on at once.
    if let buffering = HTTPField.Name("X-Accel-Buffering") { headers[buffering] = "no" }
    return Response(status: .ok, headers: headers, body: body)
  }

  /// Collects a run into one body.
  static func collect(
    _ run: GenerationRun, answer: some Answer
  ) async throws -> (body: JSON, usage: Usage) {
    var answer = answer
    var usage = Usage()
    for try await event in run.events {
      guard case .delta(let delta) = event else { continue }
      usage.add(delta, choices: answer.choices)
      _ = answer.receive(delta)
    }
    try Task.checkCancellation()
    return (answer.header.json(answer.whole, usage: usage.json), usage)
  }
}

extension ByteBuffer {
  fileprivate mutating func writeEvent(_ json: JSON) {
    var bytes: [UInt8] = Array("data: ".utf8)
    json.write(to: &bytes)
    bytes += "\n\n".utf8
    writeBytes(bytes)
  }
}
