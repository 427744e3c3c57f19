/// Blocks of 32 elements: a scale, perhaps a minimum, and 4, 5 or 8 bits for each element.
///
/// In the 4- and 5-bit types byte `j` holds element `j` in its low and element `j + 16` in its high
/// nibble; the fifth bits of all elements lie in one 32-bit word.
extension Dequantization {
  /// `d: f16, 16 bytes of nibbles`; value `d (q − 8)`.
  static func q4_0(_ block: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let d = scale(block, 0)
    for j in 0..<16 {
      let pair = byte(block, 2 + j)
      out[j] = d * Float(Int32(pair & 0xF) - 8)
      out[j + 16] = d * Float(Int32(pair >> 4) - 8)
    }
  }

  /// `d: f16, m: f16, 16 bytes of nibbles`; value `d q + m`.
  static func q4_1(_ block: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let (d, m) = (scale(block, 0), scale(block, 2))
    for j in 0..<16 {
      let pair = byte(block, 4 + j)
      out[j] = d * Float(Int32(pair & 0xF)) + m
      out[j + 16] = d * Float(Int32(pair >> 4)) + m
    }
  }

  /// `d: f16, fifth bits: u32, 16 bytes of nibbles`; value `d (q − 16)`.
  static func q5_0(_ block: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let d = scale(block, 0)
    for j in 0..<16 {
      let (low, high) = fiveBits(block, fifths: 2, nibbles: 6, j)
      out[j] = d * Float(low - 16)
      out[j + 16] = d * Float(high - 16)
    }
  }

  /// `d: f16, m: f16, fifth bits: u32, 16 bytes of nibbles`; value `d q + m`.
  static func q5_1(_ block: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let (d, m) = (scale(block, 0), scale(block, 2))
    for j in 0..<16 {
      let (low, high) = fiveBits(block, fifths: 4, nibbles: 8, j)
      out[j] = d * Float(low) + m
      out[j + 16] = d * Float(high) + m
    }
  }

  /// `d: f16, 32 signed bytes`; value `d q`.
  static func q8_0(_ block: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let d = scale(block, 0)
    for j in 0..<32 {
      out[j] = d * Float(Int32(Int8(bitPattern: byte(block, 2 + j))))
    }
  }

  /// Elements `j` and `j + 16` of a 5-bit block.
  @inline(__always)
  private static func fiveBits(
    _ block: UnsafeRawPointer, fifths: Int, nibbles: Int, _ j: Int
  ) -> (Int32, Int32) {
    let bits = UInt32(
      littleEndian: block.loadUnaligned(fromByteOffset: fifths, as: UInt32.self))
    let pair = byte(block, nibbles + j)
    let low = Int32(pair & 0xF) | Int32((bits >> UInt32(j)) & 1) << 4
    let high = Int32(pair >> 4) | Int32((bits >> UInt32(j + 16)) & 1) << 4
    return (low, high)
  }
}
