import Foundation
import Tokenizers

/// Sends requests to a server on one thread and notes when their tokens come.
struct LoadRun {
  /// When requests are sent.
  enum Arrivals {
    /// So many are under way at all times.
    case closed(Int)
    /// Each at its time, in seconds.
    case open([Double])
  }

  let target: LoadTarget
  let model: String
  /// Seconds after which a request is given up.
  var timeout = 600.0
  /// Continuations of each prompt.
  var choices = 1

  struct Result {
    var outcomes: [LoadConnection.Outcome] = []
    /// Seconds from the first request to the last end.
    var duration = 0.0
  }

  private func body(_ request: LoadRequest) throws -> Data {
    struct Body: Encodable {
      struct Options: Encodable { var includeUsage = true }
      var model: String
      var prompt: String
      var maxTokens: Int
      var temperature = 0.0
      var stream = true
      var streamOptions = Options()
      var ignoreEos = true
      /// Left out where it is 1, as some servers do not know it.
      var n: Int?
      var seed: Int?
    }
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    var body = Body(model: model, prompt: request.prompt, maxTokens: request.outputTokens)
    if choices > 1 {
      // Continuations that differ, as parallel generation is for.
      (body.n, body.temperature, body.seed) = (choices, 1, 1)
    }
    return try encoder.encode(body)
  }

  func run(_ requests: [LoadRequest], _ arrivals: Arrivals) throws -> Result {
    let messages = try requests.map {
      target.message("POST", "/v1/completions", body: try body($0))
    }
    var result = Result()
    var open: [LoadConnection] = []
    var next = 0
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)
    defer { buffer.deallocate() }
    let begin = ContinuousClock.now
    func now() -> Double { (ContinuousClock.now - begin) / .seconds(1) }
    while next < messages.count || !open.isEmpty {
      // What is due.
      while next < messages.count {
        var start = now()
        switch arrivals {
        case .closed(let count): if open.count >= count { start = .infinity }
        case .open(let times): start = times[next] <= start ? times[next] : .infinity
        }
        if start == .infinity { break }
        open.append(
          LoadConnection(socket: try target.connect(), start: start, message: messages[next]))
        next += 1
      }
      var wait = 1_000.0
      if case .open(let times) = arrivals, next < times.count {
        wait = max(0, (times[next] - now()) * 1_000)
      }
      var polled = open.map { connection in
        pollfd(
          fd: connection.socket,
          events: Int16(POLLIN) | (connection.output.isEmpty ? 0 : Int16(POLLOUT)), revents: 0)
      }
      poll(&polled, nfds_t(polled.count), Int32(min(wait.rounded(.up), 1_000)))
      let time = now()
      for i in open.indices {
        if polled[i].revents != 0 { open[i].proceed(now: time, buffer: buffer) }
        if open[i].outcome == nil, time - open[i].start > timeout {
          open[i].fail("no end after \(timeout) s", time)
        }
        if let outcome = open[i].outcome {
          close(open[i].socket)
          result.outcomes.append(outcome)
        }
      }
      open.removeAll { $0.outcome != nil }
    }
    result.duration = now()
    return result
  }

  /// The first model that a server names.
  static func firstModel(of target: LoadTarget) throws -> String {
    let socket = try target.connect()
    defer { close(socket) }
    var output = target.message("GET", "/v1/models", body: nil)[...]
    var reader = AnswerReader()
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    let end = ContinuousClock.now + .seconds(30)
    while !reader.isEnded, reader.problem == nil, ContinuousClock.now < end {
      var polled = pollfd(
        fd: socket, events: Int16(output.isEmpty ? POLLIN : POLLOUT), revents: 0)
      poll(&polled, 1, 1_000)
      if !output.isEmpty {
        let sent = output.withUnsafeBytes {
          send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        if sent > 0 {
          output = output.dropFirst(sent)
        } else if errno != EAGAIN, errno != ENOTCONN {
          break
        }
        continue
      }
      let count = recv(socket, &buffer, buffer.count, 0)
      if count > 0 { reader.append(buffer[..<count]) }
      if count == 0 { reader.close() }
    }
    guard reader.status == 200, let json = try? JSON(parsing: reader.rest),
      case .array(let models)? = json["data"], case .string(let name)? = models.first?["id"]
    else {
      throw CommandFailure(
        .noInput, "\(target.host):\(target.port) names no model at \(target.path)/v1/models")
    }
    return name
  }
}
