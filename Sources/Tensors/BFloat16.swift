/// A 16-bit float with the exponent range of `Float` and 8 bits of precision.
public struct BFloat16: Sendable, Hashable, BitwiseCopyable {
  /// The upper half of the corresponding `Float`'s bits.
  public var bitPattern: UInt16

  /// The value with the given bits.
  @inlinable
  public init(bitPattern: UInt16) { self.bitPattern = bitPattern }

  /// The nearest value to `value`, ties to even; NaN stays NaN.
  @inlinable
  public init(_ value: Float) {
    let bits = value.bitPattern
    if value.isNaN {
      bitPattern = UInt16(truncatingIfNeeded: bits >> 16) | 0x40
    } else {
      bitPattern = UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
    }
  }
}

extension Float {
  /// The exact value of `value`.
  @inlinable
  public init(_ value: BFloat16) { self.init(bitPattern: UInt32(value.bitPattern) << 16) }
}
