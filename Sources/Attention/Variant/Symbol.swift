/// A number that a variant's closure computes with before there are any numbers.
///
/// Arithmetic, comparisons and the functions beside it build an expression; nothing is evaluated.
public struct Symbol: Sendable, Hashable, ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral {
  package let expression: Expression

  package init(_ expression: Expression) { self.expression = expression }

  /// The constant `value`.
  public init(floatLiteral value: Double) { expression = .constant(value) }

  /// The constant `value`.
  public init(integerLiteral value: Int) { expression = .constant(Double(value)) }

  /// The constant `value`.
  public init(_ value: Float) { expression = .constant(Double(value)) }

  /// The constant `value`.
  public init(_ value: Int) { expression = .constant(Double(value)) }
}

/// A truth value over symbols: what comparisons give and masks return.
public struct Condition: Sendable, Hashable, ExpressibleByBooleanLiteral {
  package let expression: Expression

  package init(_ expression: Expression) { self.expression = expression }

  /// The constant `value`.
  public init(booleanLiteral value: Bool) { expression = .constant(value ? 1 : 0) }
}

extension Symbol {
  private static func make(_ f: Expression.Binary, _ a: Symbol, _ b: Symbol) -> Symbol {
    Symbol(.make(f, a.expression, b.expression))
  }

  private static func compare(_ f: Expression.Binary, _ a: Symbol, _ b: Symbol) -> Condition {
    Condition(.make(f, a.expression, b.expression))
  }

  /// The sum.
  public static func + (a: Symbol, b: Symbol) -> Symbol { make(.add, a, b) }
  /// The difference.
  public static func - (a: Symbol, b: Symbol) -> Symbol { make(.subtract, a, b) }
  /// The product.
  public static func * (a: Symbol, b: Symbol) -> Symbol { make(.multiply, a, b) }
  /// The quotient.
  public static func / (a: Symbol, b: Symbol) -> Symbol { make(.divide, a, b) }
  /// The negative.
  public static prefix func - (a: Symbol) -> Symbol { Symbol(.make(.negate, a.expression)) }

  /// Whether `a` is less than `b`.
  public static func < (a: Symbol, b: Symbol) -> Condition { compare(.less, a, b) }
  /// Whether `a` is at most `b`.
  public static func <= (a: Symbol, b: Symbol) -> Condition { compare(.lessOrEqual, a, b) }
  /// Whether `a` is greater than `b`.
  public static func > (a: Symbol, b: Symbol) -> Condition { compare(.less, b, a) }
  /// Whether `a` is at least `b`.
  public static func >= (a: Symbol, b: Symbol) -> Condition { compare(.lessOrEqual, b, a) }
  /// Whether the values are equal.
  public static func .== (a: Symbol, b: Symbol) -> Condition { compare(.equal, a, b) }
}

extension Condition {
  /// Whether both hold.
  public static func && (a: Condition, b: Condition) -> Condition {
    Condition(.make(.and, a.expression, b.expression))
  }
  /// Whether either holds.
  public static func || (a: Condition, b: Condition) -> Condition {
    Condition(.make(.or, a.expression, b.expression))
  }
  /// Whether it does not hold.
  public static prefix func ! (a: Condition) -> Condition {
    Condition(.make(.not, a.expression))
  }
}

/// e to the power `x`.
public func exp(_ x: Symbol) -> Symbol { Symbol(.make(.exp, x.expression)) }
/// The natural logarithm.
public func log(_ x: Symbol) -> Symbol { Symbol(.make(.log, x.expression)) }
/// The hyperbolic tangent.
public func tanh(_ x: Symbol) -> Symbol { Symbol(.make(.tanh, x.expression)) }
/// 1 / (1 + e^−x).
public func sigmoid(_ x: Symbol) -> Symbol { Symbol(.make(.sigmoid, x.expression)) }
/// The square root.
public func sqrt(_ x: Symbol) -> Symbol { Symbol(.make(.squareRoot, x.expression)) }
/// The greatest whole number not above `x`.
public func floor(_ x: Symbol) -> Symbol { Symbol(.make(.floor, x.expression)) }
/// The absolute value.
public func abs(_ x: Symbol) -> Symbol { Symbol(.make(.absolute, x.expression)) }
/// The smaller value.
public func min(_ a: Symbol, _ b: Symbol) -> Symbol {
  Symbol(.make(.minimum, a.expression, b.expression))
}
/// The larger value.
public func max(_ a: Symbol, _ b: Symbol) -> Symbol {
  Symbol(.make(.maximum, a.expression, b.expression))
}
/// `a` where the condition holds, else `b`.
public func select(_ condition: Condition, _ a: Symbol, _ b: Symbol) -> Symbol {
  Symbol(.makeSelect(condition.expression, a.expression, b.expression))
}
