extension UTF8 {
  /// The number of bytes of the character that begins with this byte; 1 for a stray byte.
  static func length(leading byte: UInt8) -> Int {
    switch byte {
    case 0..<0xc0: 1
    case 0xc0..<0xe0: 2
    case 0xe0..<0xf0: 3
    default: 4
    }
  }
}
