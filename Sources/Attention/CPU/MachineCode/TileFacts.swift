/// What is known of the numbers that a tile program reads.
package struct TileFacts: Sendable {
  /// Row values that are the same number in every row.
  package var constants: [Int: Float] = [:]
  /// Row values and columns that hold whole numbers below 2^32, and no −0.
  package var wholeRows: Set<Int> = []
  package var wholeColumns: Set<Int> = []

  package init() {}
}

extension TileFacts {
  /// An inverse in two parts with which a division is two operations: x/c = RN(x·high + RN(x·low)) to the
  /// bit, for whole numbers x.
  struct Inverse {
    let high: Float
    /// 0 where the first part is exact.
    let low: Float

    /// The inverse of a number of at most 20 significant bits.
    ///
    /// high + low is 1/c with a relative error below 2^-48 and x·low is rounded with one of the same size,
    /// so that the sum is within 2^-47 of x/c before it is rounded. A point between two floats is an odd
    /// multiple of half a unit: m·2^e with m < 2^25. x − m·c·2^e is not 0 (m·c has more than 24 bits) and a
    /// multiple of 2^e times c's lowest bit, thus at least 2^-45 of x: no such point is nearer than the
    /// error, and the rounding is that of x/c. (Brisebarre, Muller, Raina: "Accelerating correctly rounded
    /// floating-point division when the divisor is known in advance", 2004.)
    init?(of c: Float) {
      guard c > 0x1p-30, c < 0x1p30, c.significandBitPattern & 15 == 0 else { return nil }
      high = 1 / c
      low = Float(1 / Double(c) - Double(high))
    }
  }
}
