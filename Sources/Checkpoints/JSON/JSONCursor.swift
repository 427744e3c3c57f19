/// A strict, bounds-checked reader that pulls JSON values from bytes one at a time.
///
/// Nothing is built that the caller did not ask for, depth is bounded and duplicate handling is the
/// caller's, so a hostile text can neither exhaust the stack nor the memory.
struct JSONCursor {
  private let bytes: UnsafeRawBufferPointer
  private(set) var offset: Int
  private var depth = 0

  /// Values nested deeper than this are refused.
  static let maximumDepth = 64

  /// What is wrong with a text, and at which byte.
  struct Malformed: Error, Hashable {
    let offset: Int
    let expected: String
  }

  /// Reads `bytes`, which must outlive the cursor.
  init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
    offset = 0
  }

  /// The kind of the next value.
  enum Kind { case object, array, string, number, bool, null }

  func malformed(_ expected: String) -> Malformed { Malformed(offset: offset, expected: expected) }

  private static func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  private mutating func skipSpace() {
    while offset < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[offset]) { offset += 1 }
  }

  private mutating func peek() -> UInt8? {
    skipSpace()
    return offset < bytes.count ? bytes[offset] : nil
  }

  private mutating func take(_ character: Unicode.Scalar) throws(Malformed) {
    guard peek() == UInt8(ascii: character) else { throw malformed("'\(character)'") }
    offset += 1
  }

  mutating func kind() throws(Malformed) -> Kind {
    switch peek() {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "t"), UInt8(ascii: "f"): return .bool
    case UInt8(ascii: "n"): return .null
    case let byte? where byte == UInt8(ascii: "-") || Self.isDigit(byte): return .number
    default: throw malformed("a JSON value")
    }
  }

  /// Reads an object; `member` must read or skip each value.
  mutating func object(
    _ member: (inout JSONCursor, String) throws(Malformed) -> Void
  ) throws(Malformed) {
    try enter("{")
    if peek() != UInt8(ascii: "}") {
      while true {
        let key = try string()
        try take(":")
        try member(&self, key)
        guard peek() == UInt8(ascii: ",") else { break }
        offset += 1
      }
    }
    try leave("}")
  }

  /// Reads an array; `element` must read or skip each value.
  mutating func array(_ element: (inout JSONCursor) throws(Malformed) -> Void) throws(Malformed) {
    try enter("[")
    if peek() != UInt8(ascii: "]") {
      while true {
        try element(&self)
        guard peek() == UInt8(ascii: ",") else { break }
        offset += 1
      }
    }
    try leave("]")
  }

  private mutating func enter(_ bracket: Unicode.Scalar) throws(Malformed) {
    try take(bracket)
    depth += 1
    guard depth <= Self.maximumDepth else {
      throw malformed("at most \(Self.maximumDepth) levels of nesting")
    }
  }

  private mutating func leave(_ bracket: Unicode.Scalar) throws(Malformed) {
    try take(bracket)
    depth -= 1
  }

  /// Reads a string.
  mutating func string() throws(Malformed) -> String {
    try take("\"")
    var text: [UInt8] = []
    let start = offset
    while offset < bytes.count {
      let byte = bytes[offset]
      switch byte {
      case UInt8(ascii: "\""):
        // Without escapes the text is taken as it lies.
        let content = bytes[start..<offset]
        offset += 1
        guard
          let string = text.isEmpty
            ? String(validating: content, as: UTF8.self) : String(validating: text, as: UTF8.self)
        else {
          offset = start
          throw malformed("a string in UTF-8")
        }
        return string
      case UInt8(ascii: "\\"):
        if text.isEmpty { text = Array(bytes[start..<offset]) }
        try escape(into: &text)
        // An escape always leaves at least one byte, so `text` is now the whole string so far.
        continue
      case 0..<0x20: throw malformed("an escape instead of a control character")
      default:
        if !text.isEmpty { text.append(byte) }
        offset += 1
      }
    }
    throw malformed("the end of a string")
  }

  private mutating func escape(into text: inout [UInt8]) throws(Malformed) {
    offset += 1
    guard offset < bytes.count else { throw malformed("an escape") }
    defer { offset += 1 }
    switch bytes[offset] {
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "u"):
      var code = try hex()
      if (0xD800..<0xDC00).contains(code), offset + 2 < bytes.count,
        bytes[offset + 1] == UInt8(ascii: "\\"), bytes[offset + 2] == UInt8(ascii: "u")
      {
        offset += 2
        let low = try hex()
        guard (0xDC00..<0xE000).contains(low) else { throw malformed("a low surrogate") }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw malformed("a pair of surrogates") }
      text.append(contentsOf: UTF8.encode(scalar).map(Array.init) ?? [])
    case let byte where [UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/")].contains(byte):
      text.append(byte)
    default: throw malformed("an escape")
    }
  }

  /// The four hexadecimal digits after `offset`, which moves to the last of them.
  private mutating func hex() throws(Malformed) -> UInt32 {
    guard offset + 4 < bytes.count,
      let code = UInt32(String(decoding: bytes[offset + 1...offset + 4], as: UTF8.self), radix: 16)
    else { throw malformed("four hexadecimal digits") }
    offset += 4
    return code
  }

  /// Reads a number and returns its text, which has JSON's form and at most 64 characters.
  mutating func numberText() throws(Malformed) -> String {
    skipSpace()
    let start = offset
    func digits() throws(Malformed) {
      let first = offset
      while offset < bytes.count, Self.isDigit(bytes[offset]) { offset += 1 }
      guard offset > first, offset - start <= 64 else { throw malformed("a number of few digits") }
    }
    func at(_ characters: String.UTF8View) -> Bool {
      offset < bytes.count && characters.contains(bytes[offset])
    }
    if at("-".utf8) { offset += 1 }
    if at("0".utf8) { offset += 1 } else { try digits() }
    if at(".".utf8) {
      offset += 1
      try digits()
    }
    if at("eE".utf8) {
      offset += 1
      if at("+-".utf8) { offset += 1 }
      try digits()
    }
    return String(decoding: bytes[start..<offset], as: UTF8.self)
  }

  /// Reads a whole number from 0 to `Int.max`.
  mutating func size() throws(Malformed) -> Int {
    skipSpace()
    let start = offset
    guard let value = Int(try numberText()), value >= 0 else {
      offset = start
      throw malformed("a whole number from 0 to \(Int.max)")
    }
    return value
  }

  /// Reads `true`, `false` or `null` (as `nil`).
  mutating func literal() throws(Malformed) -> Bool? {
    skipSpace()
    for (word, value) in [("true", true), ("false", false), ("null", nil)] as [(String, Bool?)]
    where bytes[offset...].starts(with: word.utf8) {
      offset += word.utf8.count
      return value
    }
    throw malformed("true, false or null")
  }

  /// Steps over a value of any kind.
  mutating func skipValue() throws(Malformed) {
    switch try kind() {
    case .object:
      try object { (cursor, _) throws(Malformed) in try cursor.skipValue() }
    case .array:
      try array { (cursor) throws(Malformed) in try cursor.skipValue() }
    case .string: _ = try string()
    case .number: _ = try numberText()
    case .bool, .null: _ = try literal()
    }
  }

  /// Checks that nothing but space follows.
  mutating func end() throws(Malformed) {
    guard peek() == nil else { throw malformed("the end of the text") }
  }
}
