package import Devices

/// What work costs, in units of about 3 ns: rows·perRow + kv·max(perKV, rows·perScore) for each
/// key/value head.
///
/// The paper's cost is α·l_q + β·l_kv, for tiles of one size. Here a tile has as many rows as its
/// request fills, and keys are fetched while others are multiplied: a key costs what takes longer.
/// Measured with heads of 128 elements in bf16.
package struct CostModel: Sendable, Hashable {
  /// α: packing and writing a row.
  package var perRow = 40
  /// β: reading a key and a value from memory.
  package var perKV = 16
  /// The same where another request has just read them, from the last cache.
  package var perCachedKV = 6
  /// Multiplying one row with one key and value.
  package var perScore = 1
  /// Writing, reading and merging a row's partial state.
  package var perState = 40
  /// A second step that merges, for all key/value heads together.
  package var perMerge = 3_000
  /// Work up to which waking the other threads costs more than they would save.
  package var perFork = 4_000

  /// The weights of the fastest level.
  package init() {}

  /// The weights of a level.
  package init(_ instructionSet: InstructionSet) {
    perScore =
      switch instructionSet {
      case .avx512bf16: 1
      case .avx512, .avx2: 2
      case .portable: 8
      }
  }

  @inline(__always)
  package func callAsFunction(rows: Int, kv: Int) -> Int {
    rows * perRow + kv * perKey(rows: rows)
  }

  /// The cost of a key.
  @inline(__always)
  package func perKey(rows: Int) -> Int { max(perKV, rows * perScore) }

  /// The cost of a key that others read too.
  @inline(__always)
  func perCachedKey(rows: Int) -> Int { max(perCachedKV, rows * perScore) }
}
