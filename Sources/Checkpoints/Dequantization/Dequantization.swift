import Tensors

/// The meaning of each stored type, spelt out one block at a time.
///
/// Every function reads one block from `block`, which may lie at any address, and writes its
/// elements to `out`. Products and sums are rounded in the order written, which is the order of the
/// reference implementation in the `gguf` Python package: results agree bit for bit.
enum Dequantization {
  /// Writes `count` elements, a whole number of blocks.
  ///
  /// - Invariant of the caller: `from` holds `type.byteCount(of: count)` bytes and `to` has room for
  ///   `count` floats.
  static func run(
    _ type: ElementType, from: UnsafeRawPointer, to: UnsafeMutablePointer<Float>, count: Int
  ) {
    switch type {
    case .float32: plain(UInt32.self, from, to, count) { Float(bitPattern: $0) }
    case .float64: plain(UInt64.self, from, to, count) { Float(Double(bitPattern: $0)) }
    case .float16: plain(UInt16.self, from, to, count) { half($0) }
    case .bfloat16:
      plain(UInt16.self, from, to, count) { Float(BFloat16(bitPattern: $0)) }
    case .float8E4M3: plain(UInt8.self, from, to, count) { float8E4M3($0) }
    // E5M2 is the upper byte of a half.
    case .float8E5M2: plain(UInt8.self, from, to, count) { half(UInt16($0) << 8) }
    case .int8: plain(Int8.self, from, to, count) { Float($0) }
    case .int16: plain(Int16.self, from, to, count) { Float($0) }
    case .int32: plain(Int32.self, from, to, count) { Float($0) }
    case .int64: plain(Int64.self, from, to, count) { Float($0) }
    case .q4_0: blocks(type, from, to, count) { q4_0($0, $1) }
    case .q4_1: blocks(type, from, to, count) { q4_1($0, $1) }
    case .q5_0: blocks(type, from, to, count) { q5_0($0, $1) }
    case .q5_1: blocks(type, from, to, count) { q5_1($0, $1) }
    case .q8_0: blocks(type, from, to, count) { q8_0($0, $1) }
    case .q2_K: blocks(type, from, to, count) { q2_K($0, $1) }
    case .q3_K: blocks(type, from, to, count) { q3_K($0, $1) }
    case .q4_K: blocks(type, from, to, count) { q4_K($0, $1) }
    case .q5_K: blocks(type, from, to, count) { q5_K($0, $1) }
    case .q6_K: blocks(type, from, to, count) { q6_K($0, $1) }
    }
  }

  @inline(__always)
  private static func plain<Stored: FixedWidthInteger & BitwiseCopyable>(
    _ stored: Stored.Type, _ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>,
    _ count: Int, _ convert: (Stored) -> Float
  ) {
    for i in 0..<count {
      let bits = from.loadUnaligned(fromByteOffset: i * MemoryLayout<Stored>.size, as: stored)
      to[i] = convert(Stored(littleEndian: bits))
    }
  }

  @inline(__always)
  private static func blocks(
    _ type: ElementType, _ from: UnsafeRawPointer, _ to: UnsafeMutablePointer<Float>, _ count: Int,
    _ decode: (UnsafeRawPointer, UnsafeMutablePointer<Float>) -> Void
  ) {
    let (length, bytes) = (type.blockLength, type.blockBytes)
    for block in 0..<count / length { decode(from + block * bytes, to + block * length) }
  }

  /// The byte at `offset`.
  @inline(__always)
  static func byte(_ block: UnsafeRawPointer, _ offset: Int) -> UInt8 {
    block.load(fromByteOffset: offset, as: UInt8.self)
  }

  /// The 16-bit float at `offset`.
  @inline(__always)
  static func scale(_ block: UnsafeRawPointer, _ offset: Int) -> Float {
    half(UInt16(littleEndian: block.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
  }

  /// The value of a 16-bit float's bits.
  ///
  /// Integer arithmetic instead of the hardware's conversion: the baseline instruction set has none
  /// and calls a library function, and a processor told to flush subnormals would lose them.
  @inline(__always)
  static func half(_ bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let magnitude = UInt32(bits & 0x7FFF) << 13
    let exponent = magnitude & 0x0F80_0000
    // Rebias the exponent from 15 to 127; 31 (infinity, NaN) goes to 255.
    let normal = magnitude &+ (exponent == 0x0F80_0000 ? 224 : 112) << 23
    // Without the implicit bit: add it at exponent 1, then subtract it as a number.
    let subnormal =
      (Float(bitPattern: magnitude &+ 113 << 23) - Float(bitPattern: 113 << 23)).bitPattern
    return Float(bitPattern: sign | (exponent == 0 ? subnormal : normal))
  }

  /// The value of an 8-bit float of 4 exponent bits (bias 7) and 3 mantissa bits, without
  /// infinities; all ones is NaN.
  @inline(__always)
  static func float8E4M3(_ bits: UInt8) -> Float {
    let magnitude = UInt32(bits & 0x7F)
    guard magnitude != 0x7F else { return .nan }
    // The smallest unit is 2^-9; from exponent 1 on the implicit bit counts 8 units.
    let (exponent, mantissa) = (magnitude >> 3, magnitude & 7)
    let units = exponent == 0 ? mantissa : mantissa + 8
    let scale = Float(bitPattern: (127 - 9 + (max(exponent, 1) - 1)) << 23)
    return bits & 0x80 == 0 ? Float(units) * scale : -(Float(units) * scale)
  }
}
