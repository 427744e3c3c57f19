/// Reads an HTTP/1.1 answer as it comes: its head, then its body in lines.
struct AnswerReader {
  /// The status code, once the head is there.
  private(set) var status: Int?
  /// The bytes of the body that no line has taken.
  private(set) var rest: [UInt8] = []
  private(set) var isEnded = false
  /// What is wrong with the answer.
  private(set) var problem: String?

  private var input: [UInt8] = []
  private var body = Body.untilClose

  private enum Body {
    case untilClose
    /// Bytes that are still to come.
    case counted(Int)
    /// Bytes that are still to come of a chunk; nil before its size.
    case chunked(Int?)
  }

  private static let longestHead = 1 << 16

  /// Takes what was received.
  mutating func append(_ bytes: some Sequence<UInt8>) {
    input.append(contentsOf: bytes)
    if status == nil { readHead() }
    if status != nil { readBody() }
  }

  /// The connection was closed.
  mutating func close() {
    if case .untilClose = body, status != nil { isEnded = true }
    if !isEnded, problem == nil { problem = "the connection was closed before the end" }
  }

  /// The next whole line of the body, without its end.
  mutating func line() -> ArraySlice<UInt8>? {
    guard let end = rest.firstIndex(of: 0x0a) else { return nil }
    var line = rest[..<end]
    if line.last == 0x0d { line.removeLast() }
    rest.removeSubrange(...end)
    return line
  }

  private mutating func readHead() {
    let mark = Array("\r\n\r\n".utf8)
    guard let end = input.firstRange(of: mark) else {
      if input.count > Self.longestHead { problem = "the answer's head is too long" }
      return
    }
    let lines = String(decoding: input[..<end.lowerBound], as: UTF8.self)
      .split(separator: "\r\n")
    input.removeSubrange(..<end.upperBound)
    let first = lines.first?.split(separator: " ") ?? []
    guard first.count >= 2, first[0].hasPrefix("HTTP/1."), let code = Int(first[1]) else {
      problem = "the answer is not HTTP/1.1"
      return
    }
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      guard parts.count == 2 else { continue }
      let value = parts[1].drop { $0 == " " }
      switch parts[0].lowercased() {
      case "content-length": if let count = Int(value) { body = .counted(count) }
      case "transfer-encoding" where value.lowercased().contains("chunked"): body = .chunked(nil)
      default: continue
      }
    }
    // 1xx: the answer is still to come.
    if (100..<200).contains(code) {
      body = .untilClose
      readHead()
    } else {
      status = code
    }
  }

  private mutating func readBody() {
    while true {
      switch body {
      case .untilClose:
        rest.append(contentsOf: input)
        input.removeAll(keepingCapacity: true)
        return
      case .counted(let count):
        let taken = min(count, input.count)
        rest.append(contentsOf: input.prefix(taken))
        input.removeFirst(taken)
        body = .counted(count - taken)
        if count == taken { isEnded = true }
        return
      case .chunked(nil):
        guard let end = input.firstRange(of: Array("\r\n".utf8)) else { return }
        let line = String(decoding: input[..<end.lowerBound], as: UTF8.self)
        input.removeSubrange(..<end.upperBound)
        // The end of the chunk before.
        if line.isEmpty { continue }
        guard let size = Int(line.prefix { $0 != ";" }, radix: 16), size >= 0 else {
          problem = "the answer has a chunk without a size"
          return
        }
        if size == 0 {
          isEnded = true
          return
        }
        body = .chunked(size)
      case .chunked(let count?):
        let taken = min(count, input.count)
        rest.append(contentsOf: input.prefix(taken))
        input.removeFirst(taken)
        body = .chunked(count == taken ? nil : count - taken)
        if count > taken { return }
      }
    }
  }
}
