/// Blocks of 256 elements, the "k-quants": groups of 16 or 32 elements with small integer scales,
/// themselves scaled by one or two 16-bit floats for the whole block.
extension Dequantization {
  /// `16 bytes of scale (low nibble) and minimum (high), 64 bytes of 2-bit q, d: f16, m: f16`.
  ///
  /// Groups of 16; value `(d · scale) q − m · minimum`.
  static func q2_K(_ block: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let (d, m) = (scale(block, 80), scale(block, 82))
    for group in 0..<16 {
      let scales = byte(block, group)
      let (dg, mg) = (d * Float(Int32(scales & 0xF)), m * Float(Int32(scales >> 4)))
      for j in 0..<16 {
        out[group * 16 + j] = dg * Float(Int32(twoBits(block, 16, group, j))) - mg
      }
    }
  }

  /// `32 bytes of third bits, 64 bytes of low 2 bits, 12 bytes of 6-bit scales, d: f16`.
  ///
  /// Groups of 16; value `(d · (scale − 32)) (q − 4)`.
  static func q3_K(_ block: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let d = scale(block, 108)
    for group in 0..<16 {
      // Low four bits of scale g: nibble g / 8 of byte g mod 8. High two: pair g / 4 of byte
      // 8 + g mod 4.
      let low = byte(block, 96 + group % 8) >> UInt8(group / 8 * 4) & 0xF
      let high = byte(block, 104 + group % 4) >> UInt8(group / 4 * 2) & 3
      let dg = d * Float(Int32(low | high << 4) - 32)
      for j in 0..<16 {
        let element = group * 16 + j
        let third = byte(block, element % 32) >> UInt8(element / 32) & 1
        let q = Int32(twoBits(block, 32, group, j) | third << 2)
        out[element] = dg * Float(q - 4)
      }
    }
  }

  /// `d: f16, m: f16, 12 bytes of 6-bit scales and minima, 128 bytes of nibbles`.
  ///
  /// Groups of 32; value `(d · scale) q − m · minimum`.
  static func q4_K(_ block: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let (d, m) = (scale(block, 0), scale(block, 2))
    for group in 0..<8 {
      let (scale, minimum) = sixBits(block, 4, group)
      let (dg, mg) = (d * scale, m * minimum)
      for j in 0..<32 {
        out[group * 32 + j] = dg * Float(Int32(nibble(block, 16, group, j))) - mg
      }
    }
  }

  /// `d: f16, m: f16, 12 bytes of 6-bit scales and minima, 32 bytes of fifth bits, 128 of nibbles`.
  ///
  /// Groups of 32; bit `g` of fifth-bit byte `j` belongs to element `j` of group `g`; value
  /// `(d · scale) q − m · minimum`.
  static func q5_K(_ block: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let (d, m) = (scale(block, 0), scale(block, 2))
    for group in 0..<8 {
      let (scale, minimum) = sixBits(block, 4, group)
      let (dg, mg) = (d * scale, m * minimum)
      for j in 0..<32 {
        let fifth = byte(block, 16 + j) >> UInt8(group) & 1
        out[group * 32 + j] = dg * Float(Int32(nibble(block, 48, group, j) | fifth << 4)) - mg
      }
    }
  }

  /// `128 bytes of low nibbles, 64 bytes of high 2 bits, 16 signed scales, d: f16`.
  ///
  /// Groups of 16; value `(d · scale) (q − 32)`. In each half of 128 elements byte `j` of 64 holds
  /// the nibbles of elements `j` and `j + 64`.
  static func q6_K(_ block: UnsafeRawPointer, _ out: UnsafeMutablePointer<Float>) {
    let d = scale(block, 208)
    for group in 0..<16 {
      let dg = d * Float(Int32(Int8(bitPattern: byte(block, 192 + group))))
      let (half, inHalf) = (group / 8, group % 8)
      for j in 0..<16 {
        let element = inHalf * 16 + j
        let low = byte(block, half * 64 + element % 64) >> UInt8(element / 64 * 4) & 0xF
        let high = byte(block, 128 + half * 32 + element % 32) >> UInt8(element / 32 * 2) & 3
        out[half * 128 + element] = dg * Float(Int32(low | high << 4) - 32)
      }
    }
  }

  /// Two bits of element `j` of a group of 16: each half of 128 elements has 32 bytes, whose pairs
  /// of bits belong to consecutive runs of 32 elements.
  @inline(__always)
  private static func twoBits(
    _ block: UnsafeRawPointer, _ start: Int, _ group: Int, _ j: Int
  ) -> UInt8 {
    let (half, inHalf) = (group / 8, group % 8)
    return byte(block, start + half * 32 + inHalf % 2 * 16 + j) >> UInt8(inHalf / 2 * 2) & 3
  }

  /// The nibble of element `j` of a group of 32: each pair of groups shares 32 bytes, the even
  /// group in the low nibbles.
  @inline(__always)
  private static func nibble(
    _ block: UnsafeRawPointer, _ start: Int, _ group: Int, _ j: Int
  ) -> UInt8 {
    byte(block, start + group / 2 * 32 + j) >> UInt8(group % 2 * 4) & 0xF
  }

  /// Scale and minimum of group `g` of 8, six bits each, packed into 12 bytes.
  ///
  /// Groups 0–3 lie in the low six bits of bytes `g` and `g + 4`. Groups 4–7 have their low four
  /// bits in byte `g + 4` and their high two at the top of bytes `g − 4` and `g`.
  @inline(__always)
  private static func sixBits(
    _ block: UnsafeRawPointer, _ start: Int, _ group: Int
  ) -> (scale: Float, minimum: Float) {
    if group < 4 {
      return (
        Float(Int32(byte(block, start + group) & 63)),
        Float(Int32(byte(block, start + group + 4) & 63))
      )
    }
    let low = byte(block, start + group + 4)
    return (
      Float(Int32(low & 0xF | (byte(block, start + group - 4) >> 6) << 4)),
      Float(Int32(low >> 4 | (byte(block, start + group) >> 6) << 4))
    )
  }
}
