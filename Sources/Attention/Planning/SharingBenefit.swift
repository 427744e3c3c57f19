/// Whether reading keys together costs less than reading them for each request.
struct SharingBenefit {
  let cost: CostModel
  /// Query heads of a key/value head.
  let group: Int
  /// Queries of a tile.
  let tileQueries: Int
  /// The cost of a second step that merges, as one key/value head's share.
  let perLaunch: Int

  /// Writing, reading and merging a row's partial state.
  static let perState = 40

  /// A second step that merges, for all key/value heads together.
  static let launch = 3_000

  /// The cost of a key for some queries, with as few tiles as they fit in.
  @inline(__always)
  func perKey(queries: Int) -> Int {
    if queries <= tileQueries { return cost.perKey(rows: queries * group) }
    let (full, rest) = queries.quotientAndRemainder(dividingBy: tileQueries)
    return full * cost.perKey(rows: tileQueries * group)
      + (rest > 0 ? cost.perKey(rows: rest * group) : 0)
  }

  /// Keys read less often, against rows packed, written and merged once more.
  ///
  /// - Parameters:
  ///   - separate: The cost of the keys where every request reads its own.
  ///   - queries: All queries together.
  ///   - keys: The keys that any of them reads.
  ///   - isShared: Whether the requests already leave partial states.
  @inline(__always)
  func pays(separate: Int, queries: Int, keys: Int, isShared: Bool) -> Bool {
    let states = queries * group * (isShared ? 1 : 2)
    return separate - perKey(queries: queries) * keys
      > states * (cost.perRow + Self.perState) + perLaunch
  }
}
