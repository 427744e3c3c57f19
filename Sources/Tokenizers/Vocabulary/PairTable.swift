/// Merge rules of byte-pair encoding: a pair of tokens, its rank, and the token it becomes.
///
/// Open addressing with a per-table random multiplier, so that a hostile merge list cannot choose
/// its collisions.
struct PairTable: Sendable {
  struct Merge: Sendable {
    var rank: Int32
    var result: TokenID
  }

  private static let vacant = UInt64.max
  private var keys: [UInt64]
  private var merges: [Merge]
  private let multiplier = UInt64.random(in: 0...UInt64.max) | 1

  init(reserving count: Int) {
    var capacity = 16
    while capacity < count &* 2 { capacity &*= 2 }
    keys = [UInt64](repeating: Self.vacant, count: capacity)
    merges = [Merge](repeating: Merge(rank: 0, result: 0), count: capacity)
  }

  /// Records a merge unless the pair already has one; the first, lower rank counts.
  ///
  /// The caller inserts no more pairs than it reserved.
  mutating func insert(_ left: TokenID, _ right: TokenID, _ merge: Merge) {
    let key = Self.key(left, right)
    var slot = self.slot(key)
    while keys[slot] != Self.vacant {
      if keys[slot] == key { return }
      slot = (slot + 1) & (keys.count - 1)
    }
    keys[slot] = key
    merges[slot] = merge
  }

  /// The merge of two neighbours; negative ids (unknown symbols) never merge.
  func find(_ left: TokenID, _ right: TokenID) -> Merge? {
    guard left >= 0, right >= 0 else { return nil }
    let key = Self.key(left, right)
    var slot = self.slot(key)
    while true {
      let found = keys[slot]
      if found == key { return merges[slot] }
      if found == Self.vacant { return nil }
      slot = (slot + 1) & (keys.count - 1)
    }
  }

  private static func key(_ left: TokenID, _ right: TokenID) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  private func slot(_ key: UInt64) -> Int {
    let (high, low) = key.multipliedFullWidth(by: multiplier)
    return Int(truncatingIfNeeded: (high ^ low ^ (low >> 32))) & (keys.count - 1)
  }
}
