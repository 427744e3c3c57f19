import CTransport
import Glibc

/// One GET request over http or https, redirects followed.
struct HTTPTransfer {
  /// The address.
  let url: String
  /// Header lines, `Name: value`.
  var headers: [String] = []
  let environment: [String: String]

  /// How a transfer ended without a failure of ours.
  enum Outcome: Equatable {
    /// The whole response arrived; its status.
    case complete(status: Int)
    /// The connection failed or broke; worth another attempt when `arrived`.
    case broken(String, arrived: Bool)
  }

  /// Runs the request.
  ///
  /// `body` gets the bytes of a response and its status and header fields (names
  /// in lower case), never those of a redirect.
  func run(
    _ body: (Response, UnsafeRawBufferPointer) throws(ModelStore.Failure) -> Void
  ) throws(ModelStore.Failure) -> Outcome {
    guard let curl = LibCurl.shared, let handle = curl.makeHandle() else {
      throw .missingTool("libcurl", remedy: "run: apt-get install -y libcurl4 ca-certificates")
    }
    defer { curl.cleanUp(handle) }
    curl.set(handle, .url, url)
    curl.set(handle, .userAgent, "swift-attention")
    curl.set(handle, .noSignal, 1)
    curl.set(handle, .followLocation, 1)
    curl.set(handle, .maximumRedirects, 10)
    curl.set(handle, .connectTimeout, 20)
    // Slower than 1 byte/s for 60 s is a broken connection.
    curl.set(handle, .lowSpeedLimit, 1)
    curl.set(handle, .lowSpeedTime, 60)
    let (http, https) = (1, 2)
    curl.set(handle, .protocols, http | https)
    // A redirect never leads from https to http.
    curl.set(handle, .redirectProtocols, url.hasPrefix("https:") ? https : http | https)
    if let file = environment["SSL_CERT_FILE"] ?? environment["CURL_CA_BUNDLE"] {
      curl.set(handle, .certificates, file)
    }
    var list: LibCurl.List?
    for header in headers { list = header.withCString { curl.append(list, $0) } ?? list }
    defer { curl.freeList(list) }
    curl.set(handle, .headers, UnsafeRawPointer(list))

    return try withoutActuallyEscaping(body) {
      (body) throws(ModelStore.Failure) -> Outcome in
      let receiver = Receiver(body: body) { curl.status(handle) }
      let context = UnsafeRawPointer(Unmanaged.passUnretained(receiver).toOpaque())
      curl.set(handle, .headerData, context)
      curl.set(handle, .headerFunction, receiveHeader)
      curl.set(handle, .writeData, context)
      curl.set(handle, .writeFunction, receiveBody)
      let code = withExtendedLifetime(receiver) { curl.perform(handle) }
      if let failure = receiver.failure { throw failure }
      guard code != 0 else { return .complete(status: curl.status(handle)) }
      let text = curl.errorText(code).map { String(cString: $0) } ?? "error \(code)"
      return .broken(text, arrived: receiver.arrived)
    }
  }

  /// The head of a response.
  struct Response {
    let status: Int
    let fields: [String: String]
  }

  /// What the library's callbacks write to; it lives for the length of one `perform`.
  fileprivate final class Receiver {
    let body: (Response, UnsafeRawBufferPointer) throws(ModelStore.Failure) -> Void
    let status: () -> Int
    var fields: [String: String] = [:]
    var failure: ModelStore.Failure?
    var arrived = false

    init(
      body: @escaping (Response, UnsafeRawBufferPointer) throws(ModelStore.Failure) -> Void,
      status: @escaping () -> Int
    ) {
      self.body = body
      self.status = status
    }

    func header(_ line: String) {
      // A status line starts a new response, of a redirect's target for example.
      if line.hasPrefix("HTTP/") { fields = [:] }
      guard let colon = line.firstIndex(of: ":"), fields.count < 200 else { return }
      let value = line[line.index(after: colon)...].drop { $0 == " " }
      fields[line[..<colon].lowercased()] = String(value.prefix { !$0.isNewline })
    }

    func receive(_ bytes: UnsafeRawBufferPointer) -> Bool {
      do throws(ModelStore.Failure) {
        try body(Response(status: status(), fields: fields), bytes)
        arrived = true
        return true
      } catch {
        failure = error
        return false
      }
    }
  }
}

private func receiver(_ context: UnsafeMutableRawPointer) -> HTTPTransfer.Receiver {
  Unmanaged<HTTPTransfer.Receiver>.fromOpaque(context).takeUnretainedValue()
}

/// libcurl's header callback; `context` is the receiver of a running transfer.
private let receiveHeader: transport_receiver = { bytes, size, count, context in
  guard let bytes, let context else { return 0 }
  let length = Int(size * count)
  let line = UnsafeRawBufferPointer(start: bytes, count: length)
  receiver(context).header(String(decoding: line, as: UTF8.self))
  return UInt(length)
}

/// libcurl's body callback; returning less than it was given ends the transfer.
private let receiveBody: transport_receiver = { bytes, size, count, context in
  guard let bytes, let context else { return 0 }
  let length = Int(size * count)
  let taken = receiver(context).receive(UnsafeRawBufferPointer(start: bytes, count: length))
  return taken ? UInt(length) : 0
}
