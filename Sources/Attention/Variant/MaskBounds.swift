/// A mask taken apart: bounds on the key's position that follow from the row alone, and the rest.
///
/// Causal masks and windows are bounds only, written plainly or with minima, maxima and absolute
/// values. Bounds cost nothing per score: a row's scores outside them are overwritten, tiles outside
/// them are never read, and the planner counts what is left. A disjunction of bounds, as sinks or a
/// window, is evaluated for each score, but the planner leaves out the tiles between.
package struct MaskBounds: Sendable {
  /// `kv ≤ limit` or `kv ≥ limit`, the limit being linear in the row's query and lengths.
  struct Bound: Sendable, Hashable, BitwiseCopyable {
    /// Whether the bound is from above.
    var isUpper: Bool
    /// Whether equality is excluded.
    var isStrict: Bool
    /// The limit; its kv is 0.
    var form: LinearForm

    /// The last (upper) or first (lower) position allowed.
    @inline(__always)
    func limit(query: Int, kvLength: Int, queryLength: Int) -> Int {
      let value =
        form.query * Double(query) + form.kvLength * Double(kvLength) + form.queryLength
        * Double(queryLength) + form.constant
      if isUpper {
        let last = value.rounded(.down)
        return Self.clamped(isStrict && last == value ? last - 1 : last)
      }
      let first = value.rounded(.up)
      return Self.clamped(isStrict && first == value ? first + 1 : first)
    }

    /// A position far outside every cache stands for what an `Int` cannot hold.
    @inline(__always)
    private static func clamped(_ value: Double) -> Int {
      value < -0x1p52 ? -(1 << 52) : value > 0x1p52 ? 1 << 52 : Int(value)
    }

    /// The keys that the bound leaves to some query of a range; the ends of the range say all, for
    /// a bound is monotone in the query.
    func keys(queries: ClosedRange<Int>, kvLength: Int, queryLength: Int) -> Range<Int> {
      let a = limit(query: queries.lowerBound, kvLength: kvLength, queryLength: queryLength)
      let b = limit(query: queries.upperBound, kvLength: kvLength, queryLength: queryLength)
      if isUpper { return 0..<min(max(max(a, b) + 1, 0), kvLength) }
      return min(max(min(a, b), 0), kvLength)..<kvLength
    }
  }

  /// All bounds; a key counts only within every one.
  let bounds: [Bound]
  /// The part of the mask that is no bound; `nil` where the bounds say all.
  package let residual: Expression?
  /// What the disjunctions in the residual leave.
  private let regions: [MaskRegion]

  /// Takes apart a mask whose parameters have been replaced by their values.
  package init(_ mask: Expression) {
    var bounds: [Bound] = []
    var regions: [MaskRegion] = []
    var residual = Expression.constant(1)
    for condition in mask.conjuncts {
      let region = MaskRegion(condition)
      if let conjunction = region.conjunction {
        bounds += conjunction
      } else {
        residual = .make(.and, residual, condition)
        if region.isKnown { regions.append(region) }
      }
    }
    self.bounds = bounds
    self.regions = regions
    self.residual = residual == .constant(1) ? nil : residual
  }

  /// The keys that the bounds leave to one query, clipped to `0 ..< kvLength`.
  @inline(__always)
  package func keys(query: Int, kvLength: Int, queryLength: Int = 0) -> Range<Int> {
    var (first, last) = (0, kvLength - 1)
    for bound in bounds {
      let limit = bound.limit(query: query, kvLength: kvLength, queryLength: queryLength)
      if bound.isUpper { last = min(last, limit) } else { first = max(first, limit) }
    }
    return first <= last ? first..<last + 1 : 0..<0
  }

  /// A range that holds the keys of every query in a range.
  package func keys(queries: ClosedRange<Int>, kvLength: Int, queryLength: Int = 0) -> Range<Int> {
    var keys = 0..<kvLength
    for bound in bounds {
      keys = keys.clamped(
        to: bound.keys(queries: queries, kvLength: kvLength, queryLength: queryLength))
    }
    return keys.isEmpty ? 0..<0 : keys
  }

  /// As many keys as a window has: no query has more, whatever the lengths; nil where there is none.
  package var mostKeys: Int? {
    var most: Int?
    for upper in bounds where upper.isUpper {
      for lower in bounds where !lower.isUpper {
        let (a, b) = (upper.form, lower.form)
        let isWindow =
          a.query == b.query && a.kvLength == b.kvLength && a.queryLength == b.queryLength
        let keys = (a.constant - b.constant).rounded(.down) + 1
        if isWindow, keys < 0x1p31 { most = min(most ?? .max, Int(max(keys, 0))) }
      }
    }
    return most
  }

  /// The most ranges that `segments` gives.
  package static let maximumSegments = 8

  /// Ascending disjoint ranges that hold the keys of every query in a range, each beginning at a
  /// multiple of `granule`; between two of them no query has a key.
  ///
  /// Ranges less than `gap` apart are one; there is at least one, empty where no query has keys.
  package func segments(
    queries: ClosedRange<Int>, kvLength: Int, queryLength: Int = 0, granule: Int, gap: Int
  ) -> [Range<Int>] {
    let whole = keys(queries: queries, kvLength: kvLength, queryLength: queryLength)
    var ranges = [whole]
    for region in regions {
      let others = region.keys(queries: queries, kvLength: kvLength, queryLength: queryLength)
      ranges = MaskRegion.intersection(ranges, others)
    }
    var joined: [Range<Int>] = []
    for range in ranges {
      let first = range.lowerBound / granule * granule
      if let last = joined.last,
        first < last.upperBound + gap || joined.count == Self.maximumSegments
      {
        joined[joined.count - 1] = last.lowerBound..<max(range.upperBound, last.upperBound)
      } else {
        joined.append(first..<range.upperBound)
      }
    }
    return joined.isEmpty ? [0..<0] : joined
  }

  /// Whether `segments` can give more than one range.
  package var hasGaps: Bool { !regions.isEmpty }
}

extension MaskBounds.Bound {
  /// The bound that `form ≤ 0`, or `< 0`, amounts to.
  init?(_ form: LinearForm, strict: Bool) {
    let c = form.kv
    guard c != 0, form.isFinite else { return nil }
    isUpper = c > 0
    isStrict = strict
    self.form = form.times(-1 / c)
    self.form.kv = 0
    // A factor of ±1 keeps its exactness; others divide.
    if abs(c) != 1 {
      self.form = LinearForm(
        query: -form.query / c, kvLength: -form.kvLength / c, queryLength: -form.queryLength / c,
        constant: -form.constant / c)
    }
    guard self.form.isFinite else { return nil }
  }
}

extension Expression {
  /// The tree with scalar parameters replaced by their values, and presence decided.
  ///
  /// - Parameter bound: The nullable tensors and masks that have data.
  package func resolving(_ parameters: VariantParameters, bound: Set<Nullable> = []) -> Expression {
    replacing { expression in
      switch expression {
      case .parameter(let i): .constant(parameters.scalars[i].map(Double.init) ?? .nan)
      case .isPresent(.parameter(let i)): .constant(parameters.scalars[i] == nil ? 0 : 1)
      case .isPresent(let nullable): .constant(bound.contains(nullable) ? 1 : 0)
      default: nil
      }
    }
  }
}
