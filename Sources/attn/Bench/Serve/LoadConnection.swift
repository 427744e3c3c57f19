import Foundation
import Tokenizers

/// One request under way: the socket, what is still to send, and when its tokens came.
struct LoadConnection {
  /// What is known of a request once it has ended.
  struct Outcome {
    var problem: String?
    /// Seconds from the request's time to its first token, and to its end.
    var firstToken = 0.0
    var end = 0.0
    /// Seconds between one token of a choice and its next.
    var gaps: [Double] = []
    var promptTokens = 0
    var outputTokens = 0
  }

  let socket: Int32
  /// When the request was due, in seconds of the run.
  let start: Double
  private(set) var output: ArraySlice<UInt8>
  private(set) var outcome: Outcome?
  private var reader = AnswerReader()
  private var partial = Outcome()
  /// When the last token of each choice came.
  private var last: [Int: Double] = [:]
  private var events = 0

  init(socket: Int32, start: Double, message: [UInt8]) {
    self.socket = socket
    self.start = start
    output = message[...]
  }

  /// Sends and receives what can be without waiting.
  mutating func proceed(now: Double, buffer: UnsafeMutableRawBufferPointer) {
    while !output.isEmpty {
      let sent = output.withUnsafeBytes {
        send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      if sent > 0 {
        output = output.dropFirst(sent)
      } else {
        if errno != EAGAIN, errno != ENOTCONN { fail(String(cString: strerror(errno)), now) }
        break
      }
    }
    while outcome == nil {
      let count = recv(socket, buffer.baseAddress, buffer.count, 0)
      if count > 0 {
        reader.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        read(now)
      } else if count == 0 {
        reader.close()
        read(now)
        if outcome == nil { finish(now) }
      } else {
        if errno == EAGAIN || errno == ENOTCONN { return }
        fail(String(cString: strerror(errno)), now)
      }
    }
  }

  mutating func fail(_ problem: String, _ now: Double) {
    partial.problem = problem
    partial.end = now - start
    outcome = partial
  }

  private mutating func read(_ now: Double) {
    if let status = reader.status, status == 200 {
      while let line = reader.line() {
        if line.starts(with: "data:".utf8) {
          event(line.dropFirst(5).drop { $0 == 0x20 }, now)
        }
      }
    }
    if reader.isEnded || reader.problem != nil { finish(now) }
  }

  /// One server-sent event; what is not JSON, as `[DONE]`, says nothing.
  private mutating func event(_ data: ArraySlice<UInt8>, _ now: Double) {
    guard let json = try? JSON(parsing: Array(data)) else { return }
    if case .object? = json["error"] { partial.problem = String(decoding: data, as: UTF8.self) }
    if let usage = json["usage"] {
      partial.promptTokens = Int(usage["prompt_tokens"]?.real ?? 0)
      partial.outputTokens = Int(usage["completion_tokens"]?.real ?? 0)
    }
    guard case .array(let choices)? = json["choices"] else { return }
    for choice in choices {
      guard case .string(let text)? = choice["text"], !text.isEmpty else { continue }
      let index = Int(choice["index"]?.real ?? 0)
      if events == 0 { partial.firstToken = now - start }
      events += 1
      if let before = last[index] { partial.gaps.append(now - before) }
      last[index] = now
    }
  }

  private mutating func finish(_ now: Double) {
    partial.end = now - start
    if let status = reader.status, status != 200 {
      let text = String(decoding: reader.rest.prefix(300), as: UTF8.self)
      partial.problem = "status \(status): \(text)"
    }
    partial.problem = partial.problem ?? reader.problem ?? (events == 0 ? "no tokens came" : nil)
    if partial.outputTokens == 0 { partial.outputTokens = events }
    outcome = partial
  }
}
