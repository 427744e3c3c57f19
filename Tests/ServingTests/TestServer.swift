import Devices
import Glibc
import Inference
import LanguageModels
import Logging
import Serving
import Synchronization
import TestModels
import Tokenizers

/// A server on a tiny model and a Unix socket of its own.
final class TestServer: Sendable {
  let engine: InferenceEngine
  let path: String
  private let task: Task<Void, any Error>

  /// Starts a server; returns when it listens.
  static func start(
    _ model: TinyModel = TinyModel(), engine options: EngineOptions = EngineOptions(),
    _ change: (inout ServerOptions) -> Void = { _ in }
  ) async throws -> TestServer {
    let engine = try model.withFile { path in
      let device = try CPUDevice(threads: 2)
      return try InferenceEngine(
        ModelBundle(path: path, device: device), device: device, options: options)
    }
    var server = ServerOptions()
    let path = "/tmp/attention-serving-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
    server.address = .unixSocket(path)
    server.modelNames = ["tiny", "org/alias"]
    change(&server)
    var logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    logger.logLevel = .critical
    let running = InferenceServer(engine, options: server, logger: logger)
    let (ready, isReady) = AsyncStream.makeStream(of: Void.self)
    let task = Task {
      defer { isReady.finish() }
      try await running.run(handlesSignals: false) { _ in isReady.yield() }
    }
    for await _ in ready { break }
    return TestServer(engine, path, task)
  }

  private init(_ engine: InferenceEngine, _ path: String, _ task: Task<Void, any Error>) {
    self.engine = engine
    self.path = path
    self.task = task
  }

  /// Ends the server and checks the engine's bookkeeping.
  func stop() async throws {
    try await engine.checkIntegrity()
    task.cancel()
    _ = await task.result
    unlink(path)
  }

  /// Sends one request over a connection of its own.
  func send(
    _ method: String, _ path: String, _ body: String? = nil, headers: [String] = [],
    type: String = "application/json"
  ) async throws -> Reply {
    let connection = try Connection(self.path)
    try connection.write(Self.request(method, path, body, headers: headers, type: type))
    return try await connection.read(method: method)
  }

  func post(_ path: String, _ body: JSON) async throws -> Reply {
    try await send("POST", path, body.text)
  }

  static func request(
    _ method: String, _ path: String, _ body: String? = nil, headers: [String] = [],
    type: String = "application/json"
  ) -> String {
    var lines = ["\(method) \(path) HTTP/1.1", "Host: test"] + headers
    if let body { lines += ["Content-Type: \(type)", "Content-Length: \(body.utf8.count)"] }
    return lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? "")
  }

  /// Waits until the engine is as `condition` says; returns whether that came to be.
  func becomes(_ condition: (EngineStatistics) -> Bool) async throws -> Bool {
    for _ in 0..<20_000 {
      if condition(engine.statistics()) { return true }
      try await Task.sleep(for: .milliseconds(5))
    }
    return false
  }

  /// Waits until nothing runs or waits; returns whether that came to be.
  func becomesIdle() async throws -> Bool {
    try await becomes { $0.running + $0.waiting == 0 }
  }
}

/// An answer.
struct Reply {
  var status: Int
  var headers: [String: String]
  var body: [UInt8]

  var text: String { String(decoding: body, as: UTF8.self) }

  var json: JSON { (try? JSON(parsing: body)) ?? .null }

  /// A member of the error: `message`, `type`, `param`, `code`.
  func error(_ member: String) -> JSON? { json["error"]?[member] }

  /// The events of a stream, `[DONE]` as a string.
  var events: [JSON] {
    text.split(separator: "\n\n").compactMap { event in
      guard event.hasPrefix("data: ") else { return nil }
      let data = String(event.dropFirst(6))
      return data == "[DONE]" ? .string(data) : (try? JSON(parsing: data)) ?? .null
    }
  }
}

/// A plain socket.
final class Connection: Sendable {
  private let descriptor: Int32
  private let received = Mutex<[UInt8]>([])

  struct Failure: Error {
    var what: String
  }

  init(_ path: String) throws {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    guard result == 0 else { throw Failure(what: "connect: \(errno)") }
    // A reader that waits sees no cancellation: without this a lost answer would hang all tests.
    var limit = timeval(tv_sec: 600, tv_usec: 0)
    setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close(descriptor) }

  func write(_ text: String) throws { try write(Array(text.utf8)) }

  func write(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { throw Failure(what: "write: \(errno)") }
      rest = rest.dropFirst(count)
    }
  }

  /// Says that nothing more will be sent.
  func endWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

  /// More bytes, on a thread that may wait; none at the end.
  func more() async throws -> [UInt8] {
    let descriptor = descriptor
    return try await withCheckedThrowingContinuation { continuation in
      detach {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count < 0 {
          continuation.resume(throwing: Failure(what: "read: \(errno)"))
        } else {
          continuation.resume(returning: Array(buffer[..<count]))
        }
      }
    }
  }

  /// The next answer on this connection.
  func read(method: String = "GET") async throws -> Reply {
    var bytes = received.withLock { $0 }
    func need(_ isEnough: () -> Bool) async throws {
      while !isEnough() {
        let more = try await more()
        if more.isEmpty { throw Failure(what: "the connection ended after \(bytes.count) bytes") }
        bytes += more
      }
    }
    let blank = Array("\r\n\r\n".utf8)
    try await need { bytes.firstRange(of: blank) != nil }
    guard let end = bytes.firstRange(of: blank) else { throw Failure(what: "no header") }
    let lines = String(decoding: bytes[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
    bytes.removeFirst(end.upperBound)
    var reply = Reply(
      status: Int(lines.first?.split(separator: " ").dropFirst().first ?? "") ?? 0, headers: [:],
      body: [])
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      reply.headers[parts[0].lowercased()] =
        parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
    }
    if method == "HEAD" {
      // No body.
    } else if let length = reply.headers["content-length"].flatMap({ Int($0) }) {
      try await need { bytes.count >= length }
      reply.body = Array(bytes.prefix(length))
      bytes.removeFirst(length)
    } else if reply.headers["transfer-encoding"] == "chunked" {
      let newline = Array("\r\n".utf8)
      while true {
        try await need { bytes.firstRange(of: newline) != nil }
        guard let end = bytes.firstRange(of: newline) else { break }
        let size = Int(String(decoding: bytes[..<end.lowerBound], as: UTF8.self), radix: 16) ?? 0
        bytes.removeFirst(end.upperBound)
        try await need { bytes.count >= size + 2 }
        reply.body += bytes.prefix(size)
        bytes.removeFirst(size + 2)
        if size == 0 { break }
      }
    }
    received.withLock { $0 = bytes }
    return reply
  }
}

/// Runs blocking work on a thread of its own.
private func detach(_ work: @escaping @Sendable () -> Void) {
  final class Box: Sendable {
    let work: @Sendable () -> Void
    init(_ work: @escaping @Sendable () -> Void) { self.work = work }
  }
  var thread = pthread_t()
  let box = Unmanaged.passRetained(Box(work))
  let result = pthread_create(
    &thread, nil,
    { pointer in
      pointer.map { Unmanaged<Box>.fromOpaque($0).takeRetainedValue().work() }
      return nil
    }, box.toOpaque())
  if result == 0 {
    pthread_detach(thread)
  } else {
    box.release()
    work()
  }
}
