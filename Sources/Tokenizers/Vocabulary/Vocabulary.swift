/// The tokens of a tokenizer: spelling, kind, and the bytes each stands for.
struct Vocabulary: Sendable {
  /// What a token is for; the raw values are GGUF's `tokenizer.ggml.token_type`.
  enum Kind: UInt8, Sendable {
    case normal = 1
    case unknown = 2
    case control = 3
    case userDefined = 4
    case unused = 5
    case byte = 6

    /// Never comes from plain text.
    var isSpecial: Bool { self == .control || self == .unknown }
  }

  private(set) var pieces: PieceTable
  private(set) var kinds: [Kind]
  private var pool: [UInt8] = []
  private var starts: [Int] = [0]

  var count: Int { pieces.count }

  init(pieces: PieceTable, kinds: [Kind]) {
    self.pieces = pieces
    self.kinds = kinds
  }

  /// Fixes what each token decodes to.
  mutating func setBytes(_ bytes: (TokenID, Kind) -> [UInt8]) {
    pool = []
    starts = [0]
    for id in 0..<TokenID(truncatingIfNeeded: count) {
      pool.append(contentsOf: bytes(id, kinds[Int(id)]))
      starts.append(pool.count)
    }
  }

  mutating func setKind(_ kind: Kind, of id: TokenID) { kinds[Int(id)] = kind }

  func contains(_ id: TokenID) -> Bool { id >= 0 && Int(id) < count }

  func bytes(of id: TokenID) -> ArraySlice<UInt8> { pool[starts[Int(id)]..<starts[Int(id) + 1]] }

  func piece(_ id: TokenID) -> String { String(decoding: pieces[id], as: UTF8.self) }

  /// The token that text spelled like this may become; never a control, unknown or byte token.
  func textToken(_ bytes: [UInt8], _ range: Range<Int>) -> TokenID? {
    guard let id = pieces.find(bytes, range) else { return nil }
    switch kinds[Int(id)] {
    case .normal, .userDefined: return id
    case .unknown, .control, .unused, .byte: return nil
    }
  }

  func textToken(_ bytes: [UInt8]) -> TokenID? { textToken(bytes, 0..<bytes.count) }

  /// The ids of the tokens `<0x00>` to `<0xFF>`, −1 where missing.
  func byteFallbackTokens() -> [TokenID] {
    let digits = Array("0123456789ABCDEF".utf8)
    return (0..<256).map { byte in
      let piece = Array("<0x".utf8) + [digits[byte >> 4], digits[byte & 15]] + Array(">".utf8)
      return pieces.find(piece) ?? -1
    }
  }

  /// The byte that a spelling like `<0x0A>` stands for.
  static func fallbackByte(_ piece: ArraySlice<UInt8>) -> UInt8? {
    guard piece.count == 6, piece.starts(with: Array("<0x".utf8)), piece.last == 0x3e else {
      return nil
    }
    return UInt8(String(decoding: piece.dropFirst(3).dropLast(), as: UTF8.self), radix: 16)
  }
}
