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
  static let perState = 16

  /// A second step that merges, for all key/value heads together.
  static let launch = 2_000

  func sum(over run: KeyRange) -> Sum { Sum(benefit: self, low: run.end, high: 0) }

  /// The members of one run.
  struct Sum {
    let benefit: SharingBenefit
    var low: Int32
    var high: Int32
    private(set) var queries = 0
    private var requests = 0
    private var states = 0
    private var separateKeys = 0
    private var separateScores = 0

    init(benefit: SharingBenefit, low: Int32, high: Int32) {
      self.benefit = benefit
      self.low = low
      self.high = high
    }

    private func tiles(_ queries: Int) -> Int {
      (queries + benefit.tileQueries - 1) / benefit.tileQueries
    }

    mutating func add(queries: Int, keys: KeyRange, isShared: Bool) {
      requests += 1
      self.queries += queries
      states += isShared ? queries : 2 * queries
      separateKeys += tiles(queries) * keys.count
      separateScores += queries * keys.count
      low = min(low, keys.first)
      high = max(high, keys.end)
    }

    /// Keys read less often, against rows packed, written and merged once more and scores that a
    /// window would have left out.
    var pays: Bool {
      guard requests > 1 else { return false }
      let keys = Int(high - low)
      let saved = (separateKeys - tiles(queries) * keys) * benefit.cost.perKV
      let scores = (queries * keys - separateScores) * benefit.group * benefit.cost.perScore
      let rows = states * benefit.group * (benefit.cost.perRow + SharingBenefit.perState)
      return saved > scores + rows + benefit.perLaunch
    }
  }
}
