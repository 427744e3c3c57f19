extension JSON {
  /// Where a text stops being JSON.
  public struct ParseError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Bytes from the beginning of the text.
    public var offset: Int
    /// What was expected there.
    public var expected: String

    /// A place and what was expected there.
    public init(offset: Int, expected: String) {
      self.offset = offset
      self.expected = expected
    }

    /// The place and what was expected.
    public var description: String { "JSON, byte \(offset): expected \(expected)" }
  }

  /// Arrays and objects inside each other may not go deeper.
  static let deepestNesting = 128

  /// Reads one JSON text (RFC 8259), UTF-8.
  public init(parsing bytes: [UInt8]) throws(ParseError) {
    var parser = Parser(bytes: bytes)
    self = try parser.document()
  }

  /// Reads one JSON text (RFC 8259).
  public init(parsing text: String) throws(ParseError) {
    try self.init(parsing: Array(text.utf8))
  }

  private struct Parser {
    let bytes: [UInt8]
    var i = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    var current: UInt8? { i < bytes.count ? bytes[i] : nil }

    func failure(_ expected: String) -> ParseError { ParseError(offset: i, expected: expected) }

    mutating func skipSpace() {
      while let byte = current, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
        i += 1
      }
    }

    mutating func document() throws(ParseError) -> JSON {
      if bytes.starts(with: [0xef, 0xbb, 0xbf]) { i = 3 }
      let result = try value(depth: 0)
      skipSpace()
      if i < bytes.count { throw failure("the end of the text") }
      return result
    }

    mutating func value(depth: Int) throws(ParseError) -> JSON {
      skipSpace()
      if depth > JSON.deepestNesting {
        throw failure("at most \(JSON.deepestNesting) levels of nesting")
      }
      switch current {
      case 0x7b: return try object(depth: depth)
      case 0x5b: return try array(depth: depth)
      case 0x22: return .string(try string())
      case 0x74: return try word("true", .bool(true))
      case 0x66: return try word("false", .bool(false))
      case 0x6e: return try word("null", .null)
      case .some(0x2d), .some(0x30...0x39): return try number()
      default: throw failure("a value")
      }
    }

    mutating func word(_ text: String, _ value: JSON) throws(ParseError) -> JSON {
      guard bytes[i...].starts(with: text.utf8) else { throw failure(text) }
      i += text.utf8.count
      return value
    }

    mutating func object(depth: Int) throws(ParseError) -> JSON {
      var members: [Member] = []
      i += 1
      skipSpace()
      if current == 0x7d {
        i += 1
        return .object(members)
      }
      while true {
        skipSpace()
        guard current == 0x22 else { throw failure("a member's name") }
        let name = try string()
        skipSpace()
        guard current == 0x3a else { throw failure("':'") }
        i += 1
        members.append(Member(name, try value(depth: depth + 1)))
        skipSpace()
        switch current {
        case 0x2c: i += 1
        case 0x7d:
          i += 1
          return .object(members)
        default: throw failure("',' or '}'")
        }
      }
    }

    mutating func array(depth: Int) throws(ParseError) -> JSON {
      var items: [JSON] = []
      i += 1
      skipSpace()
      if current == 0x5d {
        i += 1
        return .array(items)
      }
      while true {
        items.append(try value(depth: depth + 1))
        skipSpace()
        switch current {
        case 0x2c: i += 1
        case 0x5d:
          i += 1
          return .array(items)
        default: throw failure("',' or ']'")
        }
      }
    }

    mutating func number() throws(ParseError) -> JSON {
      let start = i
      var isInteger = true
      func digits(_ parser: inout Parser) throws(ParseError) {
        let from = parser.i
        while let byte = parser.current, (0x30...0x39).contains(byte) { parser.i += 1 }
        if parser.i == from { throw parser.failure("a digit") }
      }
      if current == 0x2d { i += 1 }
      if current == 0x30 { i += 1 } else { try digits(&self) }
      if current == 0x2e {
        isInteger = false
        i += 1
        try digits(&self)
      }
      if current == 0x65 || current == 0x45 {
        isInteger = false
        i += 1
        if current == 0x2b || current == 0x2d { i += 1 }
        try digits(&self)
      }
      let text = String(decoding: bytes[start..<i], as: UTF8.self)
      if isInteger, let value = Int(text) { return .integer(value) }
      guard let value = Double(text), value.isFinite else {
        i = start
        throw failure("a number within the range of Double")
      }
      return .number(value)
    }

    mutating func string() throws(ParseError) -> String {
      i += 1
      let start = i
      while let byte = current, byte != 0x22, byte != 0x5c, byte >= 0x20 { i += 1 }
      if current == 0x22 {
        i += 1
        return try text(bytes[start..<i - 1], at: start)
      }
      var result = Array(bytes[start..<i])
      while true {
        switch current {
        case 0x22:
          i += 1
          return try text(result[...], at: start)
        case 0x5c:
          i += 1
          try escape(&result)
        case .some(let byte) where byte >= 0x20:
          result.append(byte)
          i += 1
        default: throw failure("'\"'")
        }
      }
    }

    func text(_ bytes: ArraySlice<UInt8>, at start: Int) throws(ParseError) -> String {
      guard let text = String(validating: bytes, as: UTF8.self) else {
        throw ParseError(offset: start, expected: "valid UTF-8 in the string that begins here")
      }
      return text
    }

    mutating func escape(_ result: inout [UInt8]) throws(ParseError) {
      guard let byte = current else { throw failure("an escape") }
      switch byte {
      case 0x22, 0x5c, 0x2f: result.append(byte)
      case 0x62: result.append(0x08)
      case 0x66: result.append(0x0c)
      case 0x6e: result.append(0x0a)
      case 0x72: result.append(0x0d)
      case 0x74: result.append(0x09)
      case 0x75:
        i += 1
        var unit = try hex4()
        if (0xd800..<0xdc00).contains(unit) {
          guard current == 0x5c, i + 1 < bytes.count, bytes[i + 1] == 0x75 else {
            throw failure("the second half of a surrogate pair")
          }
          i += 2
          let low = try hex4()
          guard (0xdc00..<0xe000).contains(low) else {
            throw failure("the second half of a surrogate pair")
          }
          unit = 0x10000 + (unit - 0xd800) << 10 + (low - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(unit) else {
          throw failure("the first half of a surrogate pair first")
        }
        result.append(scalar)
        return
      default: throw failure("an escape")
      }
      i += 1
    }

    mutating func hex4() throws(ParseError) -> UInt32 {
      var value: UInt32 = 0
      for _ in 0..<4 {
        switch current {
        case .some(let byte) where (0x30...0x39).contains(byte):
          value = value << 4 | UInt32(byte - 0x30)
        case .some(let byte) where (0x61...0x66).contains(byte | 0x20):
          value = value << 4 | UInt32((byte | 0x20) - 0x57)
        default: throw failure("four hexadecimal digits")
        }
        i += 1
      }
      return value
    }
  }
}
