/// A mask as bounds say it: what it can leave of the keys.
indirect enum MaskRegion: Sendable {
  case bound(MaskBounds.Bound)
  case all(MaskRegion, MaskRegion)
  case any(MaskRegion, MaskRegion)
  /// No bound: all keys, for all that is known.
  case unknown
  case nothing

  var isKnown: Bool {
    if case .unknown = self { false } else { true }
  }
}

extension MaskRegion {
  /// What a condition says of the key's position.
  init(_ condition: Expression) {
    switch condition {
    case .constant(0): self = .nothing
    case .binary(.and, let a, let b): self = .both(.init(a), .init(b))
    case .binary(.or, let a, let b): self = .either(.init(a), .init(b))
    case .unary(.not, .binary(.less, let a, let b)):
      self = Self.isNotPositive(.make(.subtract, b, a), strict: false)
    case .unary(.not, .binary(.lessOrEqual, let a, let b)):
      self = Self.isNotPositive(.make(.subtract, b, a), strict: true)
    case .unary(.not, .binary(.and, let a, let b)):
      self = .either(.init(.make(.not, a)), .init(.make(.not, b)))
    case .unary(.not, .binary(.or, let a, let b)):
      self = .both(.init(.make(.not, a)), .init(.make(.not, b)))
    case .unary(.not, .unary(.not, let a)): self = .init(a)
    case .binary(.less, let a, let b):
      self = Self.isNotPositive(.make(.subtract, a, b), strict: true)
    case .binary(.lessOrEqual, let a, let b):
      self = Self.isNotPositive(.make(.subtract, a, b), strict: false)
    case .binary(.equal, let a, let b):
      self = .both(
        Self.isNotPositive(.make(.subtract, a, b), strict: false),
        Self.isNotPositive(.make(.subtract, b, a), strict: false))
    default: self = .unknown
    }
  }

  /// difference ≤ 0, or < 0.
  private static func isNotPositive(_ difference: Expression, strict: Bool) -> Self {
    func region(_ form: PiecewiseLinear) -> Self {
      switch form {
      case .maximum(let a, let b): both(region(a), region(b))
      case .minimum(let a, let b): either(region(a), region(b))
      case .linear(let form): MaskBounds.Bound(form, strict: strict).map(Self.bound) ?? .unknown
      }
    }
    return PiecewiseLinear(difference).map(region) ?? .unknown
  }

  private static func both(_ a: Self, _ b: Self) -> Self {
    // What is not known of one side is left to the other: the region may be too large.
    switch (a, b) {
    case (.nothing, _), (_, .nothing): .nothing
    case (.unknown, .unknown): .unknown
    default: .all(a, b)
    }
  }

  private static func either(_ a: Self, _ b: Self) -> Self {
    switch (a, b) {
    case (.nothing, let c), (let c, .nothing): c
    case (.unknown, _), (_, .unknown): .unknown
    default: .any(a, b)
    }
  }

  /// The bounds that the condition is equivalent to, if it is a conjunction of bounds.
  var conjunction: [MaskBounds.Bound]? {
    switch self {
    case .bound(let bound): return [bound]
    case .all(let a, let b):
      guard let a = a.conjunction, let b = b.conjunction else { return nil }
      return a + b
    case .any, .unknown, .nothing: return nil
    }
  }

  /// Ascending disjoint ranges that hold every key the region leaves to some query.
  func keys(queries: ClosedRange<Int>, kvLength: Int, queryLength: Int) -> [Range<Int>] {
    switch self {
    case .nothing: return []
    case .unknown: return kvLength > 0 ? [0..<kvLength] : []
    case .bound(let bound):
      let keys = bound.keys(queries: queries, kvLength: kvLength, queryLength: queryLength)
      return keys.isEmpty ? [] : [keys]
    case .all(let a, let b):
      return Self.intersection(
        a.keys(queries: queries, kvLength: kvLength, queryLength: queryLength),
        b.keys(queries: queries, kvLength: kvLength, queryLength: queryLength))
    case .any(let a, let b):
      let all =
        a.keys(queries: queries, kvLength: kvLength, queryLength: queryLength)
        + b.keys(queries: queries, kvLength: kvLength, queryLength: queryLength)
      var union: [Range<Int>] = []
      for range in all.sorted(by: { $0.lowerBound < $1.lowerBound }) {
        if let last = union.last, range.lowerBound <= last.upperBound {
          union[union.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
        } else {
          union.append(range)
        }
      }
      return union
    }
  }

  static func intersection(_ a: [Range<Int>], _ b: [Range<Int>]) -> [Range<Int>] {
    var result: [Range<Int>] = []
    for x in a {
      for y in b {
        let common = x.clamped(to: y)
        if !common.isEmpty { result.append(common) }
      }
    }
    return result.sorted { $0.lowerBound < $1.lowerBound }
  }
}
