extension Expression {
  /// The derivative by a leaf: the score, a scalar parameter or a per-head vector's entry.
  ///
  /// The fourth meaning of a variant: the tree differentiated symbolically, again a tree, which the
  /// reference evaluates and the processor runs as any other. Where a function has no derivative,
  /// it has one of its sub-gradients, the same everywhere:
  /// - |x| at 0 has 0;
  /// - `min(a, b)` and `max(a, b)` at a tie have b's, as their value is b's;
  /// - `floor`, comparisons and their combinations have 0, and a `select` has the chosen side's:
  ///   nothing flows through a condition. The side not chosen counts for nothing, were it NaN.
  ///
  /// `log` and `sqrt` have what calculus gives them: ±∞ or NaN at 0 and below.
  package func derivative(by variable: Expression) -> Expression {
    slope(by: variable) ?? .constant(0)
  }

  /// The derivative, `nil` where it is 0 throughout: terms that are not there need no simplifying.
  private func slope(by variable: Expression) -> Expression? {
    if self == variable { return .constant(1) }
    switch self {
    case .constant, .score, .element, .position, .parameter, .perHead, .tensor, .bit, .isPresent:
      return nil
    case .unary(let f, let a):
      guard let da = a.slope(by: variable), let df = f.slope(at: a, value: self) else {
        return nil
      }
      return df.times(da)
    case .binary(let f, let a, let b):
      return f.slope(a, a.slope(by: variable), b, b.slope(by: variable), value: self)
    case .select(let c, let a, let b):
      return Self.choice(c, a.slope(by: variable), b.slope(by: variable))
    }
  }

  /// `condition ? a : b` of two slopes.
  fileprivate static func choice(_ condition: Expression, _ a: Expression?, _ b: Expression?)
    -> Expression?
  {
    a == nil && b == nil ? nil : makeSelect(condition, a ?? .constant(0), b ?? .constant(0))
  }

  /// The product, its constant factors gathered in front.
  ///
  /// A derivative owes nothing to the order of its factors: rounding may differ by a unit.
  fileprivate func times(_ other: Expression) -> Expression {
    let (a, b) = (factored, other.factored)
    let rest: Expression =
      switch (a.rest, b.rest) {
      case (let x?, let y?): .make(.multiply, x, y)
      case (let x?, nil), (nil, let x?): x
      case (nil, nil): .constant(1)
      }
    return switch a.constant * b.constant {
    case -1: .make(.negate, rest)
    case let factor: .make(.multiply, .constant(factor), rest)
    }
  }

  /// The quotient; by a constant it is a product.
  fileprivate func divided(by other: Expression) -> Expression {
    if case .constant(let x) = other, x != 0, (1 / x).isFinite {
      return times(.constant(1 / x))
    }
    let (constant, rest) = factored
    return Expression.constant(constant).times(.make(.divide, rest ?? .constant(1), other))
  }

  private var factored: (constant: Double, rest: Expression?) {
    switch self {
    case .constant(let x): (x, nil)
    case .binary(.multiply, .constant(let x), let rest): (x, rest)
    case .unary(.negate, let rest): (-1, rest)
    default: (1, self)
    }
  }
}

extension Expression.Unary {
  /// f′(a), `nil` where it is 0 throughout; `value` is f(a), to be computed once.
  fileprivate func slope(at a: Expression, value: Expression) -> Expression? {
    switch self {
    case .negate: .constant(-1)
    case .absolute:
      .makeSelect(
        .make(.less, a, .constant(0)), .constant(-1), .make(.less, .constant(0), a))
    case .exp: value
    case .log: Expression.constant(1).divided(by: a)
    case .tanh: .make(.subtract, .constant(1), .make(.multiply, value, value))
    case .sigmoid: .make(.multiply, value, .make(.subtract, .constant(1), value))
    case .squareRoot: Expression.constant(0.5).divided(by: value)
    case .sine: .make(.cosine, a)
    case .cosine: .make(.negate, .make(.sine, a))
    case .floor, .not: nil
    }
  }
}

extension Expression.Binary {
  /// The slope of f(a, b) from those of a and b, which are `nil` where they are 0 throughout.
  fileprivate func slope(
    _ a: Expression, _ da: Expression?, _ b: Expression, _ db: Expression?, value: Expression
  ) -> Expression? {
    switch self {
    case .add: Self.sum(da, db)
    case .subtract: Self.sum(da, db?.times(.constant(-1)))
    case .multiply: Self.sum(da?.times(b), db?.times(a))
    case .divide:
      Self.sum(
        da?.divided(by: b), db?.times(value).divided(by: b).times(.constant(-1)))
    case .minimum: Expression.choice(.make(.less, a, b), da, db)
    case .maximum: Expression.choice(.make(.less, b, a), da, db)
    case .power:
      Self.sum(
        da?.times(b).times(.make(.power, a, .make(.subtract, b, .constant(1)))),
        db?.times(value).times(.make(.log, a)))
    case .less, .lessOrEqual, .equal, .and, .or: nil
    }
  }

  private static func sum(_ a: Expression?, _ b: Expression?) -> Expression? {
    switch (a, b) {
    case (let x?, .unary(.negate, let y)?): .make(.subtract, x, y)
    case (let x?, let y?): .make(.add, x, y)
    default: a ?? b
    }
  }
}
