/// A mask taken apart: bounds on the key's position that follow from the row alone, and the rest.
///
/// Causal masks and windows are bounds only. Bounds cost nothing per score: a row's scores outside
/// them are overwritten, tiles outside them are never read, and the planner counts what is left.
package struct MaskBounds: Sendable {
  /// `kv ≤ value` or `kv ≥ value`, the value being `slope·query + intercept`.
  struct Bound: Sendable, Hashable, BitwiseCopyable {
    /// Whether the bound is from above.
    var isUpper: Bool
    /// Whether equality is excluded.
    var isStrict: Bool
    var slope: Double
    var intercept: Double

    /// The last (upper) or first (lower) position allowed.
    @inline(__always)
    func limit(query: Int) -> Int {
      let value = slope * Double(query) + intercept
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
  }

  /// All bounds; a key counts only within every one.
  let bounds: [Bound]
  /// The part of the mask that is no bound; `nil` where the bounds say all.
  package let residual: Expression?

  /// Takes apart a mask whose parameters have been replaced by their values.
  package init(_ mask: Expression) {
    var bounds: [Bound] = []
    var residual = Expression.constant(1)
    for condition in Self.conjuncts(of: mask) {
      if let bound = Bound(condition) {
        bounds.append(bound)
      } else {
        residual = .make(.and, residual, condition)
      }
    }
    self.bounds = bounds
    self.residual = residual == .constant(1) ? nil : residual
  }

  private static func conjuncts(of mask: Expression) -> [Expression] {
    if case .binary(.and, let a, let b) = mask { return conjuncts(of: a) + conjuncts(of: b) }
    return mask == .constant(1) ? [] : [mask]
  }

  /// The keys that the bounds leave to one query, clipped to `0 ..< kvLength`.
  @inline(__always)
  package func keys(query: Int, kvLength: Int) -> Range<Int> {
    var (first, last) = (0, kvLength - 1)
    for bound in bounds {
      let limit = bound.limit(query: query)
      if bound.isUpper { last = min(last, limit) } else { first = max(first, limit) }
    }
    return first <= last ? first..<last + 1 : 0..<0
  }

  /// A range that holds the keys of every query in a range.
  ///
  /// Bounds are monotone in the query, so the ends of the range say all.
  package func keys(queries: ClosedRange<Int>, kvLength: Int) -> Range<Int> {
    var (first, last) = (0, kvLength - 1)
    for bound in bounds {
      let a = bound.limit(query: queries.lowerBound)
      let b = bound.limit(query: queries.upperBound)
      if bound.isUpper { last = min(last, max(a, b)) } else { first = max(first, min(a, b)) }
    }
    return first <= last ? first..<last + 1 : 0..<0
  }
}

extension MaskBounds.Bound {
  /// The bound that a comparison of linear forms of `kv` and `query` amounts to.
  fileprivate init?(_ condition: Expression) {
    guard case .binary(let f, let a, let b) = condition, f == .less || f == .lessOrEqual,
      let left = LinearForm(a), let right = LinearForm(b)
    else { return nil }
    // kv·c + query·s + i ⋚ 0
    let c = left.kv - right.kv
    guard c != 0 else { return nil }
    isUpper = c > 0
    isStrict = f == .less
    slope = -(left.query - right.query) / c
    intercept = -(left.constant - right.constant) / c
    guard slope.isFinite, intercept.isFinite else { return nil }
  }
}

/// kv·a + query·b + c.
private struct LinearForm {
  var kv = 0.0
  var query = 0.0
  var constant = 0.0

  init?(_ expression: Expression) {
    switch expression {
    case .constant(let x): constant = x
    case .position(.kv): kv = 1
    case .position(.query): query = 1
    case .unary(.negate, let a):
      guard let a = LinearForm(a) else { return nil }
      self = a.times(-1)
    case .binary(.add, let a, let b):
      guard let a = LinearForm(a), let b = LinearForm(b) else { return nil }
      self = a.plus(b)
    case .binary(.subtract, let a, let b):
      guard let a = LinearForm(a), let b = LinearForm(b) else { return nil }
      self = a.plus(b.times(-1))
    case .binary(.multiply, .constant(let factor), let a),
      .binary(.multiply, let a, .constant(let factor)):
      guard let a = LinearForm(a) else { return nil }
      self = a.times(factor)
    default: return nil
    }
  }

  private func times(_ factor: Double) -> LinearForm {
    var result = self
    result.kv *= factor
    result.query *= factor
    result.constant *= factor
    return result
  }

  private func plus(_ other: LinearForm) -> LinearForm {
    var result = self
    result.kv += other.kv
    result.query += other.query
    result.constant += other.constant
    return result
  }
}

extension Expression {
  /// The tree with scalar parameters replaced by their values.
  package func resolving(_ parameters: VariantParameters) -> Expression {
    replacing { expression in
      guard case .parameter(let i) = expression else { return nil }
      return .constant(Double(parameters.scalars[i]))
    }
  }
}
