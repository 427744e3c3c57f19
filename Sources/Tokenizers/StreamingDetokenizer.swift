/// Turns tokens into text as they arrive, never half a character.
///
/// What `append` and `finish` return, put together, is what `Tokenizer.decode` gives for all the
/// tokens. Bytes that cannot become UTF-8 any more are U+FFFD at once; bytes that still can wait for
/// the next token.
///
/// ```swift
/// var stream = StreamingDetokenizer(tokenizer)
/// for id in generated { print(stream.append(id), terminator: "") }
/// print(stream.finish())
/// ```
public struct StreamingDetokenizer: Sendable {
  private let tokenizer: Tokenizer
  private let skipSpecial: Bool
  private var pending: [UInt8] = []
  private var atStart: Bool

  /// A stream for one text.
  ///
  /// - Parameters:
  ///   - skipSpecial: leave control tokens out of the text.
  ///   - continuing: the text goes on after a prompt, so a leading space belongs to it.
  public init(_ tokenizer: Tokenizer, skipSpecial: Bool = true, continuing: Bool = false) {
    self.tokenizer = tokenizer
    self.skipSpecial = skipSpecial
    atStart = tokenizer.storage.decoding.dropsLeadingSpace && !continuing
  }

  /// Whether bytes of an unfinished character wait for the next token.
  public var isHolding: Bool { !pending.isEmpty }

  /// Takes the next token and returns the text that is now certain, often empty.
  public mutating func append(_ id: TokenID) -> String {
    tokenizer.appendBytes(of: id, skipSpecial: skipSpecial, to: &pending)
    if atStart, let first = pending.first {
      atStart = false
      if first == 0x20 { pending.removeFirst() }
    }
    let certain = pending.count - Self.incompleteTail(pending)
    if certain == 0 { return "" }
    let text = String(decoding: pending[..<certain], as: UTF8.self)
    pending.removeFirst(certain)
    return text
  }

  /// Ends the text: what still waited can no longer be completed.
  public mutating func finish() -> String {
    let text = String(decoding: pending, as: UTF8.self)
    pending = []
    return text
  }

  /// How many bytes at the end are the beginning of a character that more bytes could complete.
  ///
  /// By the table of well-formed sequences (Unicode 3.9, table 3-7): the second byte of some
  /// characters is narrower than 80–BF, so that a wrong one is known at once.
  static func incompleteTail(_ bytes: [UInt8]) -> Int {
    for length in 1...3 where length <= bytes.count {
      let lead = bytes[bytes.count - length]
      if lead & 0xc0 == 0x80 { continue }
      let needed: Int
      var second: ClosedRange<UInt8> = 0x80...0xbf
      switch lead {
      case 0xc2...0xdf: needed = 2
      case 0xe0: (needed, second) = (3, 0xa0...0xbf)
      case 0xed: (needed, second) = (3, 0x80...0x9f)
      case 0xe1...0xef: needed = 3
      case 0xf0: (needed, second) = (4, 0x90...0xbf)
      case 0xf4: (needed, second) = (4, 0x80...0x8f)
      case 0xf1...0xf3: needed = 4
      default: return 0
      }
      if needed <= length { return 0 }
      if length > 1, !second.contains(bytes[bytes.count - length + 1]) { return 0 }
      return length
    }
    return 0
  }
}
