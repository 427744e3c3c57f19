extension TemplateEvaluator {
  func unary(
    _ operation: TemplateExpression.UnaryOperator, _ value: TemplateValue,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    if operation == .not { return .bool(!value.isTrue) }
    if let integer = value.integer {
      if operation == .plus { return .integer(integer) }
      let (result, overflow) = (0).subtractingReportingOverflow(integer)
      if overflow { throw position.failure(.type, "an integer out of range") }
      return .integer(result)
    }
    guard let number = value.double else {
      throw position.failure(.type, "a \(value.typeName) has no sign")
    }
    return .number(operation == .minus ? -number : number)
  }

  mutating func binary(
    _ operation: TemplateExpression.BinaryOperator, _ left: TemplateValue, _ right: TemplateValue,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    if operation == .concatenate {
      var text = try string(left, position)
      text.append(try string(right, position))
      return try made(text, position)
    }
    switch (operation, left, right) {
    case (.add, .string(var text), .string(let other)):
      try spend(text.count + other.count, position)
      text.append(other)
      return .string(text)
    case (.add, .list(let list), .list(let other)):
      try step(list.items.count + other.items.count, position)
      return newList(list.items + other.items)
    case (.multiply, .string(let text), _) where right.integer != nil:
      return try repeated(text, right.integer ?? 0, position)
    case (.multiply, _, .string(let text)) where left.integer != nil:
      return try repeated(text, left.integer ?? 0, position)
    default: break
    }
    if let a = left.integer, let b = right.integer, operation != .divide,
      operation != .power || b >= 0
    {
      return .integer(try integer(operation, a, b, position))
    }
    guard let a = left.double, let b = right.double else {
      for case .undefined(let name) in [left, right] {
        throw position.failure(.undefined, "'\(name)' is undefined")
      }
      throw position.failure(
        .type, "this operator does not take a \(left.typeName) and a \(right.typeName)")
    }
    return .number(try number(operation, a, b, position))
  }

  private mutating func repeated(
    _ text: TemplateText, _ count: Int, _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    let (length, overflow) = text.count.multipliedReportingOverflow(by: max(0, count))
    if overflow { throw position.failure(.limit, "a string too long") }
    try spend(length, position)
    var result = TemplateText()
    if length > 0 { for _ in 0..<count { result.append(text) } }
    return .string(result)
  }

  private func integer(
    _ operation: TemplateExpression.BinaryOperator, _ a: Int, _ b: Int,
    _ position: TemplatePosition
  ) throws(Failure) -> Int {
    let result: (partialValue: Int, overflow: Bool)
    switch operation {
    case .add: result = a.addingReportingOverflow(b)
    case .subtract: result = a.subtractingReportingOverflow(b)
    case .multiply: result = a.multipliedReportingOverflow(by: b)
    case .floorDivide, .modulo:
      if b == 0 { throw position.failure(.type, "division by zero") }
      let quotient = a.dividedReportingOverflow(by: b)
      if quotient.overflow { throw position.failure(.type, "an integer out of range") }
      let remainder = a % b
      // Python rounds towards minus infinity.
      let adjusts = remainder != 0 && (remainder < 0) != (b < 0)
      return operation == .modulo
        ? (adjusts ? remainder + b : remainder) : quotient.partialValue - (adjusts ? 1 : 0)
    case .power:
      var product: (partialValue: Int, overflow: Bool) = (1, false)
      if abs(Double(a)) > 1 {
        for _ in 0..<min(b, 64) where !product.overflow {
          product = product.partialValue.multipliedReportingOverflow(by: a)
        }
      } else if a == 0 {
        product.partialValue = b == 0 ? 1 : 0
      } else if a == -1 {
        product.partialValue = b % 2 == 0 ? 1 : -1
      }
      result = product
    case .divide, .concatenate, .and, .or: result = (0, true)
    }
    if result.overflow { throw position.failure(.type, "an integer out of range") }
    return result.partialValue
  }

  private func number(
    _ operation: TemplateExpression.BinaryOperator, _ a: Double, _ b: Double,
    _ position: TemplatePosition
  ) throws(Failure) -> Double {
    switch operation {
    case .add: return a + b
    case .subtract: return a - b
    case .multiply: return a * b
    case .divide, .floorDivide, .modulo:
      if b == 0 { throw position.failure(.type, "division by zero") }
      if operation == .divide { return a / b }
      let quotient = (a / b).rounded(.down)
      return operation == .floorDivide ? quotient : a - quotient * b
    case .power, .concatenate, .and, .or:
      throw position.failure(.unsupported, "powers of fractions are not supported")
    }
  }

  // MARK: Comparison

  mutating func comparison(
    _ first: TemplateExpression, _ rest: [(TemplateExpression.Comparison, TemplateExpression)],
    _ position: TemplatePosition, _ scope: TemplateScope
  ) throws(Failure) -> TemplateValue {
    var left = try evaluate(first, scope)
    for (comparison, expression) in rest {
      let right = try evaluate(expression, scope)
      if !(try holds(comparison, left, right, position)) { return .bool(false) }
      left = right
    }
    return .bool(true)
  }

  mutating func holds(
    _ comparison: TemplateExpression.Comparison, _ left: TemplateValue, _ right: TemplateValue,
    _ position: TemplatePosition
  ) throws(Failure) -> Bool {
    switch comparison {
    case .equal: try equal(left, right, position)
    case .unequal: !(try equal(left, right, position))
    case .less: try precedes(left, right, position)
    case .greater: try precedes(right, left, position)
    case .lessOrEqual: !(try precedes(right, left, position))
    case .greaterOrEqual: !(try precedes(left, right, position))
    case .contained: try contains(right, left, position)
    case .notContained: !(try contains(right, left, position))
    }
  }

  mutating func equal(
    _ left: TemplateValue, _ right: TemplateValue, _ position: TemplatePosition, depth: Int = 0
  ) throws(Failure) -> Bool {
    try step(position)
    if depth > TemplateWriter.deepestNesting {
      throw position.failure(.limit, "values nested too deep to compare")
    }
    switch (left, right) {
    case (.undefined, .undefined), (.null, .null): return true
    case (.string(let a), .string(let b)):
      if a.count != b.count { return false }
      try spend(a.count, position)
      return a.sameCharacters(as: b)
    case (.list(let a), .list(let b)):
      if a.items.count != b.items.count { return false }
      for (x, y) in zip(a.items, b.items)
      where !(try equal(x, y, position, depth: depth + 1)) {
        return false
      }
      return true
    case (.dictionary(let a), .dictionary(let b)):
      if a.count != b.count { return false }
      for (key, value) in zip(a.keys, a.values) {
        guard let other = b[key] else { return false }
        if !(try equal(value, other, position, depth: depth + 1)) { return false }
      }
      return true
    case (.namespace(let a), .namespace(let b)): return a === b
    case (.macro(let a), .macro(let b)): return a === b
    case (.loop(let a), .loop(let b)): return a === b
    case (.function(let a), .function(let b)): return a == b
    default:
      if let a = left.integer, let b = right.integer { return a == b }
      if let a = left.double, let b = right.double { return a == b }
      return false
    }
  }

  mutating func precedes(
    _ left: TemplateValue, _ right: TemplateValue, _ position: TemplatePosition, depth: Int = 0
  ) throws(Failure) -> Bool {
    try step(position)
    switch (left, right) {
    case (.string(let a), .string(let b)):
      try spend(min(a.count, b.count), position)
      return a.precedes(b)
    case (.list(let a), .list(let b)) where depth < TemplateWriter.deepestNesting:
      for (x, y) in zip(a.items, b.items) where !(try equal(x, y, position)) {
        return try precedes(x, y, position, depth: depth + 1)
      }
      return a.items.count < b.items.count
    default:
      if let a = left.integer, let b = right.integer { return a < b }
      if let a = left.double, let b = right.double { return a < b }
      for case .undefined(let name) in [left, right] {
        throw position.failure(.undefined, "'\(name)' is undefined")
      }
      throw position.failure(
        .type, "a \(left.typeName) and a \(right.typeName) have no order")
    }
  }

  mutating func contains(
    _ container: TemplateValue, _ value: TemplateValue, _ position: TemplatePosition
  ) throws(Failure) -> Bool {
    switch container {
    case .string(let text):
      guard case .string(let part) = value else {
        if case .undefined = value { return true }
        throw position.failure(.type, "a \(value.typeName) cannot be in a string")
      }
      try spend(text.count, position)
      return text.firstIndex(of: part) != nil
    case .dictionary(let dictionary), .namespace(let dictionary):
      return value.key.flatMap { dictionary[$0] } != nil
    case .list(let list):
      for item in list.items where try equal(item, value, position) { return true }
      return false
    case .undefined: return false
    default: throw position.failure(.type, "a \(container.typeName) contains nothing")
    }
  }
}
