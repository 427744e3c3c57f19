/// Whether reading keys together costs less than reading them for each request.
///
/// Who reads them later finds them in the last cache, so what is saved is less than a read of
/// memory, and nothing where groups are so large that multiplying takes longer.
struct SharingBenefit {
  let cost: CostModel
  /// Query heads of a key/value head.
  let group: Int
  /// Queries of a tile.
  let tileQueries: Int
  /// Key/value heads.
  let kvHeads: Int

  /// The cost of a key for some queries, with as few tiles as they fit in.
  @inline(__always)
  func perKey(queries: Int) -> Int {
    if queries <= tileQueries { return cost.perCachedKey(rows: queries * group) }
    let (full, rest) = queries.quotientAndRemainder(dividingBy: tileQueries)
    return full * cost.perCachedKey(rows: tileQueries * group)
      + (rest > 0 ? cost.perCachedKey(rows: rest * group) : 0)
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
      > cost.perTile + states * (cost.perRow + cost.perState) + cost.perMerge / kvHeads
  }
}
