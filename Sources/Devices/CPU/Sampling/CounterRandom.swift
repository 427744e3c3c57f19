/// A random number for every (seed, counter) pair, with no state between them.
///
/// A request's numbers depend on its own seed and position only, so the same seed gives the same
/// text alone or in any batch. The generator is Philox4x32-10 (Salmon et al., *Parallel random
/// numbers: as easy as 1, 2, 3*, SC 2011).
public struct CounterRandom: Sendable, Hashable {
  /// The stream.
  public var seed: UInt64

  /// The stream of the given seed.
  public init(seed: UInt64) { self.seed = seed }

  /// The four 32-bit words of a block.
  ///
  /// - Parameters:
  ///   - counter: The block, a token's position as a rule.
  ///   - draw: Tells the numbers of one counter apart.
  public func words(_ counter: UInt64, draw: UInt32 = 0) -> SIMD4<UInt32> {
    var x = SIMD4<UInt32>(
      UInt32(truncatingIfNeeded: counter), UInt32(truncatingIfNeeded: counter >> 32), draw, 0)
    var key = SIMD2<UInt32>(
      UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
    for _ in 0..<10 {
      let a = x[0].multipliedFullWidth(by: 0xD251_1F53)
      let b = x[2].multipliedFullWidth(by: 0xCD9E_8D57)
      x = SIMD4(b.high ^ x[1] ^ key[0], b.low, a.high ^ x[3] ^ key[1], a.low)
      key &+= SIMD2(0x9E37_79B9, 0xBB67_AE85)
    }
    return x
  }

  /// A number in [0, 1) with 53 random bits.
  public func uniform(_ counter: UInt64, draw: UInt32 = 0) -> Double {
    let x = words(counter, draw: draw)
    return Double((UInt64(x[0]) << 32 | UInt64(x[1])) >> 11) * 0x1p-53
  }

  /// Where in which stream a row finds its numbers.
  public struct Point: Sendable, Hashable {
    /// The stream.
    public var seed: UInt64
    /// The counter in the stream, the position of the token that is drawn as a rule.
    public var counter: UInt64

    /// A counter of a stream.
    public init(seed: UInt64, counter: UInt64) {
      self.seed = seed
      self.counter = counter
    }

    /// A number in [0, 1), another one for every `draw`.
    public func uniform(draw: UInt32 = 0) -> Double {
      CounterRandom(seed: seed).uniform(counter, draw: draw)
    }
  }
}
