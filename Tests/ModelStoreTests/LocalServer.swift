import Foundation
import Glibc
import ModelStore
import Synchronization

/// A small HTTP server on 127.0.0.1 that answers `Range` requests; one thread, one request at a
/// time, each connection closed after its answer.
final class LocalServer: Sendable {
  /// What the server is to do with a path.
  struct Resource: Sendable {
    var body: [UInt8]
    var status = 200
    /// Ends the connection after so many bytes of the first answer.
    var breaksAfter: Int?
    var ignoresRange = false
    var redirect: String?
  }

  struct Request: Sendable {
    let path: String
    let fields: [String: String]
  }

  let port: UInt16
  private let listener: Int32
  private let resources: Mutex<[String: Resource]>
  private let log = Mutex<[Request]>([])

  var url: String { "http://127.0.0.1:\(port)" }
  var requests: [Request] { log.withLock { $0 } }

  init(_ resources: [String: Resource]) {
    self.resources = Mutex(resources)
    listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listener = listener
    withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = bind(listener, $0, length)
        _ = listen(listener, 16)
        _ = getsockname(listener, $0, &length)
      }
    }
    port = UInt16(bigEndian: address.sin_port)
    Thread.detachNewThread { [weak self] in
      while true {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { return }
        self?.serve(connection)
        close(connection)
      }
    }
  }

  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  private func serve(_ connection: Int32) {
    var text: [UInt8] = []
    var byte: UInt8 = 0
    while !text.suffix(4).elementsEqual("\r\n\r\n".utf8) {
      guard read(connection, &byte, 1) == 1 else { return }
      text.append(byte)
    }
    let lines = String(decoding: text, as: UTF8.self).components(separatedBy: "\r\n")
    let target = lines[0].split(separator: " ")[1]
    let path = String(target.split(separator: "?")[0])
    var fields: [String: String] = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      fields[line[..<colon].lowercased()] = String(line[colon...].dropFirst(2))
    }
    log.withLock { $0.append(Request(path: path, fields: fields)) }
    answer(connection, path, fields)
  }

  private func answer(_ connection: Int32, _ path: String, _ fields: [String: String]) {
    guard let resource = resources.withLock({ $0[path] }) else {
      send(connection, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone".utf8)
      return
    }
    if let redirect = resource.redirect {
      send(
        connection,
        "HTTP/1.1 302 Found\r\nLocation: \(redirect)\r\nContent-Length: 3\r\n\r\nsee".utf8)
      return
    }
    var body = resource.body[...]
    var head = "HTTP/1.1 \(resource.status) OK\r\n"
    if let range = fields["range"], !resource.ignoresRange,
      let start = Int(range.dropFirst("bytes=".count).dropLast())
    {
      if start >= body.count {
        send(connection, "HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n".utf8)
        return
      }
      head = "HTTP/1.1 206 Partial\r\n"
      head += "Content-Range: bytes \(start)-\(body.count - 1)/\(body.count)\r\n"
      body = body.dropFirst(start)
    }
    head += "Content-Type: text/html\r\n"
    head += "Content-Length: \(body.count)\r\nConnection: close\r\n\r\n"
    send(connection, head.utf8)
    if let limit = resource.breaksAfter {
      resources.withLock { $0[path]?.breaksAfter = nil }
      body = body.prefix(limit)
    }
    send(connection, body)
  }

  private func send(_ connection: Int32, _ bytes: some Sequence<UInt8>) {
    let bytes = Array(bytes)
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes {
        Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return }
      sent += count
    }
  }
}

/// A folder that goes with the test.
final class TemporaryFolder: Sendable {
  let path: String

  init() throws {
    let url = FileManager.default.temporaryDirectory.appending(path: "store-\(UUID())")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  @discardableResult
  func write(_ bytes: [UInt8], to name: String) throws -> String {
    let url = URL(filePath: path).appending(path: name)
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: url)
    return url.path
  }

  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(path)/\(name)") }

  func read(_ name: String) -> [UInt8]? {
    FileManager.default.contents(atPath: "\(path)/\(name)").map(Array.init)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// The SHA-256 hash of bytes.
func sha256(_ bytes: [UInt8]) -> String {
  var hash = SHA256()
  bytes.withUnsafeBytes { hash.update($0) }
  return hash.hexDigest()
}
