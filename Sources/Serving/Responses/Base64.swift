import FoundationEssentials

/// Vectors as OpenAI's clients ask for them.
enum Base64 {
  /// 32-bit floats, little-endian, in base64.
  static func encode(littleEndian values: [Float]) -> String {
    var data = Data(capacity: values.count * 4)
    for value in values {
      withUnsafeBytes(of: value.bitPattern.littleEndian) { data.append(contentsOf: $0) }
    }
    return data.base64EncodedString()
  }
}
