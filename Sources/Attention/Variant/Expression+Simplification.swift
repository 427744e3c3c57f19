extension Expression {
  /// `function(a)`, folded where `a` is a constant.
  package static func make(_ function: Unary, _ a: Expression) -> Expression {
    switch (function, a) {
    case (_, .constant(let x)): .constant(function(x))
    case (.negate, .unary(.negate, let x)): x
    case (.absolute, .unary(.absolute, _)): a
    default: .unary(function, a)
    }
  }

  /// `function(a, b)`, folded where both are constants and where one is the neutral element.
  ///
  /// Only rules that hold for every float are used: x·0 stays, for x may be infinite.
  package static func make(_ function: Binary, _ a: Expression, _ b: Expression) -> Expression {
    switch (function, a, b) {
    case (_, .constant(let x), .constant(let y)): .constant(function(x, y))
    case (.add, .constant(0), let x), (.add, let x, .constant(0)): x
    case (.subtract, let x, .constant(0)): x
    case (.multiply, .constant(1), let x), (.multiply, let x, .constant(1)): x
    case (.divide, let x, .constant(1)): x
    case (.and, .constant(let c), let x), (.and, let x, .constant(let c)):
      c == 0 ? .constant(0) : x
    case (.or, .constant(let c), let x), (.or, let x, .constant(let c)):
      c != 0 ? .constant(1) : x
    case (.and, let x, let y) where x == y: x
    case (.or, let x, let y) where x == y: x
    case (.minimum, let x, let y) where x == y: x
    case (.maximum, let x, let y) where x == y: x
    default: .binary(function, a, b)
    }
  }

  /// `condition ? a : b`, decided where the condition is a constant.
  package static func makeSelect(_ condition: Expression, _ a: Expression, _ b: Expression)
    -> Expression
  {
    if case .constant(let c) = condition { return c != 0 ? a : b }
    return a == b ? a : .select(condition, a, b)
  }
}
