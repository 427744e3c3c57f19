import Foundation

/// A server with OpenAI's API.
struct LoadTarget {
  let host: String
  let port: UInt16
  /// Before `/v1`, without a slash at its end.
  let path: String
  let apiKey: String?
  private let address: Data

  /// - Parameter url: `http://HOST:PORT` and perhaps a path, with or without `/v1`.
  init(_ url: String, apiKey: String?) throws {
    guard let parts = URLComponents(string: url), parts.scheme == "http", let host = parts.host,
      !host.isEmpty, let port = UInt16(exactly: parts.port ?? 80)
    else {
      throw CommandFailure(.data, "'\(url)' is no URL like http://127.0.0.1:8080")
    }
    self.host = host
    self.port = port
    var path = parts.path
    while path.hasSuffix("/") { path.removeLast() }
    if path.hasSuffix("/v1") { path.removeLast(3) }
    self.path = path
    self.apiKey = apiKey
    address = try Self.resolve(host, port)
  }

  private static func resolve(_ host: String, _ port: UInt16) throws -> Data {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, String(port), &hints, &list) == 0, let first = list else {
      throw CommandFailure(.noInput, "the host '\(host)' is not known")
    }
    defer { freeaddrinfo(list) }
    return Data(bytes: first.pointee.ai_addr, count: Int(first.pointee.ai_addrlen))
  }

  /// A socket that connects, without waiting for it.
  func connect() throws -> Int32 {
    let family = address.withUnsafeBytes { $0.loadUnaligned(as: sockaddr.self).sa_family }
    let socket = Glibc.socket(
      Int32(family), Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue),
      0)
    guard socket >= 0 else { throw CommandFailure(.noInput, "no socket: \(errnoText())") }
    var yes: Int32 = 1
    setsockopt(
      socket, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
    let status = address.withUnsafeBytes { bytes in
      bytes.withMemoryRebound(to: sockaddr.self) {
        Glibc.connect(socket, $0.baseAddress, socklen_t(bytes.count))
      }
    }
    if status != 0, errno != EINPROGRESS {
      let text = errnoText()
      close(socket)
      throw CommandFailure(.noInput, "cannot connect to \(host):\(port): \(text)")
    }
    return socket
  }

  /// The bytes of a request; the server closes the connection after its answer.
  func message(_ method: String, _ endpoint: String, body: Data?) -> [UInt8] {
    var head = "\(method) \(path)\(endpoint) HTTP/1.1\r\nHost: \(host):\(port)\r\n"
    head += "Connection: close\r\nAccept: application/json, text/event-stream\r\n"
    if let apiKey { head += "Authorization: Bearer \(apiKey)\r\n" }
    if let body {
      head += "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n"
    }
    return Array((head + "\r\n").utf8) + (body ?? Data())
  }

  private func errnoText() -> String { String(cString: strerror(errno)) }
}
