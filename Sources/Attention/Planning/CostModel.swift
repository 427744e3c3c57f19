package import Devices

/// What work costs one worker, in units of its own: perTile + rows·perRow + kv·perKey(rows) for each
/// key/value head; on a processor in nanoseconds of one thread.
///
/// The paper's cost is α·l_q + β·l_kv, for tiles of one size. Here a tile has as many rows as its
/// request fills, and keys are fetched while others are multiplied: a key costs what takes longer.
/// Measured with heads of 128 elements in bf16 on a Zen 5 processor, every level on the same one;
/// what counts is how the costs compare.
package struct CostModel: Sendable, Hashable {
  /// α: packing and writing a row.
  package var perRow = 40
  /// β: reading a key and a value from memory.
  package var perKV = 12
  /// The same where another request has just read them, from the last cache.
  package var perCachedKV = 8
  /// Placing a tile's rows, whatever their number.
  package var perTile = 0
  /// Multiplying with a key and value, whatever the rows.
  package var perProduct = 4
  /// Multiplying one row with one key and value.
  package var perScore = 1
  /// Rows meet a key 2^passShift at a time; further ones read it again, from the last cache.
  package var passShift = Int.bitWidth - 2
  /// Writing, reading and merging a row's partial state.
  package var perState = 60
  /// A second step that merges, for all key/value heads together.
  package var perMerge = 3_000
  /// Work up to which waking the other threads costs more than they would save.
  package var perFork = 4_000

  /// The weights of the fastest level.
  package init() {}

  /// The weights of a level.
  package init(_ instructionSet: InstructionSet) {
    (perProduct, perScore) =
      switch instructionSet {
      case .avx512bf16: (4, 1)
      case .avx512: (4, 2)
      case .avx2: (4, 5)
      case .portable: (12, 13)
      }
  }

  @inline(__always)
  package func callAsFunction(rows: Int, kv: Int) -> Int {
    perTile + rows * perRow + kv * perKey(rows: rows)
  }

  /// The cost of a key.
  @inline(__always)
  package func perKey(rows: Int) -> Int { perKey(rows, first: perKV) }

  /// The cost of a key that others read too.
  @inline(__always)
  func perCachedKey(rows: Int) -> Int { perKey(rows, first: perCachedKV) }

  @inline(__always)
  private func perKey(_ rows: Int, first read: Int) -> Int {
    let product = perProduct + rows * perScore
    let again = (rows - 1) >> passShift
    return max(read, product) + (again > 0 ? again * max(perCachedKV, product) : 0)
  }
}
