/// The spellings of all tokens in one byte pool, findable in both directions.
///
/// Open addressing over a power of two; the hash is the standard library's seeded one, so a hostile
/// vocabulary cannot choose its collisions.
struct PieceTable: Sendable {
  private var pool: [UInt8] = []
  private var starts: [Int] = [0]
  private var slots: [TokenID] = []
  private(set) var longest = 0

  var count: Int { starts.count - 1 }

  init(reserving tokens: Int) {
    starts.reserveCapacity(tokens + 1)
    pool.reserveCapacity(tokens &* 7)
    var capacity = 16
    while capacity < tokens &* 2 { capacity &*= 2 }
    slots = [TokenID](repeating: -1, count: capacity)
  }

  /// Adds the next token; the answer is the token that already has this spelling, if any.
  ///
  /// The spelling is stored either way, so that ids stay positions.
  mutating func append(_ piece: some Collection<UInt8>) -> TokenID? {
    let start = pool.count
    pool.append(contentsOf: piece)
    let id = TokenID(truncatingIfNeeded: count)
    starts.append(pool.count)
    longest = max(longest, pool.count - start)
    if count &* 2 > slots.count { grow() }
    return claim(id, start..<pool.count)
  }

  /// The bytes of a token's spelling.
  subscript(id: TokenID) -> ArraySlice<UInt8> {
    pool[starts[Int(id)]..<starts[Int(id) + 1]]
  }

  func length(of id: TokenID) -> Int { starts[Int(id) + 1] - starts[Int(id)] }

  /// The token spelled like `bytes[range]`.
  func find(_ bytes: [UInt8], _ range: Range<Int>) -> TokenID? {
    guard range.count <= longest else { return nil }
    let mask = slots.count - 1
    var slot = Self.hash(bytes, range) & mask
    while true {
      let id = slots[slot]
      if id < 0 { return nil }
      let start = starts[Int(id)]
      if starts[Int(id) + 1] - start == range.count, Self.equal(pool, start, bytes, range) {
        return id
      }
      slot = (slot + 1) & mask
    }
  }

  func find(_ bytes: [UInt8]) -> TokenID? { find(bytes, 0..<bytes.count) }

  func find(_ text: String) -> TokenID? { find(Array(text.utf8)) }

  private mutating func claim(_ id: TokenID, _ range: Range<Int>) -> TokenID? {
    let mask = slots.count - 1
    var slot = Self.hash(pool, range) & mask
    while slots[slot] >= 0 {
      let other = Int(slots[slot])
      if starts[other + 1] - starts[other] == range.count,
        Self.equal(pool, starts[other], pool, range)
      {
        return slots[slot]
      }
      slot = (slot + 1) & mask
    }
    slots[slot] = id
    return nil
  }

  private mutating func grow() {
    slots = [TokenID](repeating: -1, count: slots.count * 2)
    for id in 0..<count {
      _ = claim(TokenID(truncatingIfNeeded: id), starts[id]..<starts[id + 1])
    }
  }

  private static func hash(_ bytes: [UInt8], _ range: Range<Int>) -> Int {
    var hasher = Hasher()
    bytes.withUnsafeBytes { hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: $0[range])) }
    return hasher.finalize()
  }

  private static func equal(
    _ left: [UInt8], _ start: Int, _ right: [UInt8], _ range: Range<Int>
  ) -> Bool {
    var i = start
    for j in range {
      if left[i] != right[j] { return false }
      i += 1
    }
    return true
  }
}
