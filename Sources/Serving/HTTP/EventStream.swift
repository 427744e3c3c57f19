import HTTPTypes
import Hummingbird
import NIOCore
import Tokenizers

/// An answer as server-sent events.
enum EventStream {
  /// Streams a run: a chunk for each step, the usage where it is wanted, `[DONE]`.
  ///
  /// - Parameters:
  ///   - usage: where the usage is told.
  ///   - promptLengths: the tokens of the job's prompts.
  ///   - ended: called once with what the run cost and whether it came to its end.
  static func response<A: Answer>(
    _ run: GenerationRun, answer: A, usage: StreamUsage, promptLengths: [Int],
    ended: @escaping @Sendable (Usage, Bool) -> Void
  ) -> Response {
    let body = ResponseBody { writer in
      var events = EventWriter(answer, usage, promptLengths: promptLengths)
      var isWhole = false
      defer { ended(events.usage, isWhole) }
      do {
        var hasWritten = false
        for try await event in run.events {
          switch event {
          case .alive:
            // A comment, which clients skip: proxies see that the connection lives.
            if !hasWritten { try await writer.write(ByteBuffer(string: ": keep-alive\n\n")) }
            hasWritten = false
          case .delta(let delta):
            guard let buffer = events.receive(delta) else { continue }
            try await writer.write(buffer)
            hasWritten = true
          }
        }
        // A cancelled iteration ends as if nothing were left.
        try Task.checkCancellation()
        isWhole = true
        try await writer.write(events.end())
      } catch let error as APIError {
        try await writer.write(EventWriter<A>.event(error.json))
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

/// Writes the events of one answer.
private struct EventWriter<A: Answer> {
  private var answer: A
  private let reports: StreamUsage
  private let promptLengths: [Int]
  private(set) var usage = Usage()

  init(_ answer: A, _ reports: StreamUsage, promptLengths: [Int]) {
    self.answer = answer
    self.reports = reports
    self.promptLengths = promptLengths
  }

  /// What a step tells the client, if anything.
  mutating func receive(_ delta: ChoiceDelta) -> ByteBuffer? {
    usage.add(delta, choices: answer.choices)
    let chunks = answer.receive(delta)
    if chunks.isEmpty { return nil }
    let usage: JSON? =
      switch reports {
      case .none: nil
      case .last: .null
      case .every:
        Usage(
          promptTokens: promptLengths[delta.index / answer.choices],
          completionTokens: delta.completionTokens
        ).json
      }
    var bytes: [UInt8] = []
    for chunk in chunks { Self.write(answer.header.json([chunk], usage: usage), to: &bytes) }
    return ByteBuffer(bytes: bytes)
  }

  /// The events after all steps.
  func end() -> ByteBuffer {
    var bytes: [UInt8] = []
    if reports != .none { Self.write(answer.header.json([], usage: usage.json), to: &bytes) }
    bytes += "data: [DONE]\n\n".utf8
    return ByteBuffer(bytes: bytes)
  }

  /// An event of its own.
  static func event(_ json: JSON) -> ByteBuffer {
    var bytes: [UInt8] = []
    write(json, to: &bytes)
    return ByteBuffer(bytes: bytes)
  }

  private static func write(_ json: JSON, to bytes: inout [UInt8]) {
    bytes += "data: ".utf8
    json.write(to: &bytes)
    bytes += "\n\n".utf8
  }
}
