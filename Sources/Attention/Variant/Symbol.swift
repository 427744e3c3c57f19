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
/// x to the power y; not a number where x is negative and y no whole number.
public func pow(_ x: Symbol, _ y: Symbol) -> Symbol {
  Symbol(.make(.power, x.expression, y.expression))
}
/// The sine of an angle in radians.
public func sin(_ x: Symbol) -> Symbol { Symbol(.make(.sine, x.expression)) }
/// The cosine of an angle in radians.
public func cos(_ x: Symbol) -> Symbol { Symbol(.make(.cosine, x.expression)) }
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

/// A vector of a functor's argument, query, key, value or output, seen from one of its elements.
///
/// A functor says what becomes of element `at.dimension`; it may read that element and the one it
/// forms a pair with.
public struct VectorSymbol: Sendable, Hashable {
  package init() {}

  /// The element itself.
  public var own: Symbol { Symbol(.element(.own)) }
  /// The other element of the pair (0, 1), (2, 3) and so on.
  public var neighbour: Symbol { Symbol(.element(.neighbour)) }
  /// The other element of the pair (0, d/2), (1, d/2 + 1) and so on.
  public var opposite: Symbol { Symbol(.element(.opposite(nil))) }
  /// As `opposite`, within the first `count` elements; later elements are their own partners.
  public func opposite(of count: Int) -> Symbol { Symbol(.element(.opposite(count))) }
}

/// A parameter that may have no value.
///
/// ```swift
/// let bias = v.nullablePerRequest("bias")
/// v.logits { s, at in bias.ifPresent({ s + $0 }, else: s) }
/// ```
public struct NullableSymbol: Sendable, Hashable {
  /// Whether there is a value; decided before a run, not for every score.
  public let isPresent: Condition
  /// The value; not to be used where there is none.
  public let value: Symbol

  /// The value, or `other` where there is none.
  public func or(_ other: Symbol) -> Symbol { select(isPresent, value, other) }

  /// What `present` makes of the value, or `absent` where there is none.
  public func ifPresent(_ present: (Symbol) -> Symbol, else absent: Symbol) -> Symbol {
    select(isPresent, present(value), absent)
  }
}

/// A tensor with an entry for every token of a request, read at the key's position or the query's.
public struct TokenSymbol: Sendable, Hashable {
  package let number: Int

  /// The entry of the key's token.
  public var ofKey: Symbol { Symbol(.tensor(number, .key)) }
  /// The entry of the query's token.
  public var ofQuery: Symbol { Symbol(.tensor(number, .query)) }
  /// Whether data is bound; always true unless declared nullable.
  public var isPresent: Condition { Condition(.isPresent(.tensor(number))) }
}

/// A custom mask: a bit for every query row and key of a request.
public struct MaskSymbol: Sendable, Hashable {
  package let number: Int

  /// Whether the query may see the key.
  public var allows: Condition { Condition(.bit(number)) }
  /// Whether data is bound; always true unless declared nullable.
  public var isPresent: Condition { Condition(.isPresent(.mask(number))) }
}
