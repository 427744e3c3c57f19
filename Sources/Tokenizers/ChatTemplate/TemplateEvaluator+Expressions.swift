extension TemplateEvaluator {
  mutating func evaluate(
    _ expression: TemplateExpression, _ scope: TemplateScope
  ) throws(Failure) -> TemplateValue {
    switch expression {
    case .literal(let literal):
      switch literal {
      case .null: return .null
      case .bool(let value): return .bool(value)
      case .integer(let value): return .integer(value)
      case .number(let value): return .number(value)
      case .string(let text): return .text(text)
      }
    case .name(let name, let position):
      try step(position)
      return scope.find(name) ?? .undefined(name)
    default:
      return try nested(expression.position) { evaluator throws(Failure) in
        try evaluator.evaluateCompound(expression, scope)
      }
    }
  }

  private mutating func evaluateCompound(
    _ expression: TemplateExpression, _ scope: TemplateScope
  ) throws(Failure) -> TemplateValue {
    switch expression {
    case .literal, .name: return try evaluate(expression, scope)
    case .list(let items, let isTuple, _): return try list(items, isTuple, scope)
    case .dictionary(let items, let position): return try dictionary(items, position, scope)
    case .unary(let operation, let operand, let position):
      return try unary(operation, try evaluate(operand, scope), position)
    case .binary(.and, let left, let right, _):
      let value = try evaluate(left, scope)
      return value.isTrue ? try evaluate(right, scope) : value
    case .binary(.or, let left, let right, _):
      let value = try evaluate(left, scope)
      return value.isTrue ? value : try evaluate(right, scope)
    case .binary(let operation, let left, let right, let position):
      let first = try evaluate(left, scope)
      return try binary(operation, first, try evaluate(right, scope), position)
    case .comparison(let first, let rest, let position):
      return try comparison(first, rest, position, scope)
    case .conditional(let condition, let value, let otherwise, _):
      if try evaluate(condition, scope).isTrue { return try evaluate(value, scope) }
      guard let otherwise else { return .undefined("the value of a condition without else") }
      return try evaluate(otherwise, scope)
    case .attribute(let operand, let name, let position):
      return try attribute(name, of: try evaluate(operand, scope), position)
    case .item(let operand, let key, let position):
      let value = try evaluate(operand, scope)
      return try item(try evaluate(key, scope), of: value, position)
    case .slice(let operand, let low, let high, let step, let position):
      return try slice(operand, (low, high, step), position, scope)
    case .call(let callee, let given, let position):
      return try call(callee, given, position, scope)
    case .filter(let operand, let name, let given, let position):
      let value = try operand.map { operand throws(Failure) in try evaluate(operand, scope) }
      return try filter(
        name, value ?? .undefined(name), try arguments(given, scope), position)
    case .test(let operand, let name, let given, let negated, let position):
      let value = try evaluate(operand, scope)
      let holds = try test(name, value, try arguments(given, scope), position)
      return .bool(holds != negated)
    }
  }

  private mutating func list(
    _ items: [TemplateExpression], _ isTuple: Bool, _ scope: TemplateScope
  ) throws(Failure) -> TemplateValue {
    var values: [TemplateValue] = []
    for item in items { values.append(try evaluate(item, scope)) }
    return newList(values, isTuple: isTuple)
  }

  private mutating func dictionary(
    _ items: [(TemplateExpression, TemplateExpression)], _ position: TemplatePosition,
    _ scope: TemplateScope
  ) throws(Failure) -> TemplateValue {
    let result = TemplateValue.Dictionary()
    for (key, value) in items {
      let name = try evaluate(key, scope)
      guard let key = name.key else {
        throw position.failure(.type, "a \(name.typeName) cannot be a key")
      }
      result.set(key, try evaluate(value, scope))
    }
    return .dictionary(result)
  }

  /// The filters of a block, applied to its text.
  mutating func apply(
    _ filters: TemplateExpression, to value: TemplateValue, _ scope: TemplateScope
  ) throws(Failure) -> TemplateValue {
    guard case .filter(let operand, let name, let given, let position) = filters else {
      return value
    }
    let inner = try operand.map { operand throws(Failure) in try apply(operand, to: value, scope) }
    return try filter(name, inner ?? value, try arguments(given, scope), position)
  }

  mutating func arguments(
    _ given: TemplateExpression.Arguments, _ scope: TemplateScope
  ) throws(Failure) -> TemplateArguments {
    var result = TemplateArguments()
    for argument in given.positional { result.positional.append(try evaluate(argument, scope)) }
    for (name, argument) in given.named { result.named[name] = try evaluate(argument, scope) }
    return result
  }

  private mutating func call(
    _ callee: TemplateExpression, _ given: TemplateExpression.Arguments,
    _ position: TemplatePosition, _ scope: TemplateScope
  ) throws(Failure) -> TemplateValue {
    if case .attribute(let operand, let name, let place) = callee {
      let receiver = try evaluate(operand, scope)
      let arguments = try arguments(given, scope)
      if let result = try method(name, of: receiver, arguments, place) { return result }
      return try call(try attribute(name, of: receiver, place), name, arguments, position)
    }
    let value = try evaluate(callee, scope)
    var name = "this value"
    if case .name(let known, _) = callee { name = known }
    return try call(value, name, try arguments(given, scope), position)
  }

  private mutating func call(
    _ value: TemplateValue, _ name: String, _ arguments: TemplateArguments,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    switch value {
    case .macro(let macro): return try call(macro, arguments, position)
    case .function(let function): return try global(function, arguments, position)
    case .undefined: throw position.failure(.undefined, "'\(name)' is undefined")
    default: throw position.failure(.type, "'\(name)' is a \(value.typeName), not a function")
    }
  }

  // MARK: Access

  mutating func attribute(
    _ name: String, of value: TemplateValue, _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    switch value {
    case .undefined(let what):
      throw position.failure(.undefined, "'\(what)' is undefined, so it has no '\(name)'")
    case .dictionary(let dictionary), .namespace(let dictionary):
      return dictionary[name] ?? .undefined(name)
    case .loop(let loop): return loopAttribute(name, loop)
    case .macro(let macro) where name == "name": return .text(macro.definition.name)
    default: return .undefined(name)
    }
  }

  private func loopAttribute(_ name: String, _ loop: TemplateValue.Loop) -> TemplateValue {
    let count = loop.items.count
    switch name {
    case "index": return .integer(loop.index + 1)
    case "index0": return .integer(loop.index)
    case "revindex": return .integer(count - loop.index)
    case "revindex0": return .integer(count - loop.index - 1)
    case "first": return .bool(loop.index == 0)
    case "last": return .bool(loop.index == count - 1)
    case "length": return .integer(count)
    // Depth counts recursion only, which is not supported.
    case "depth": return .integer(1)
    case "depth0": return .integer(0)
    case "previtem": return loop.index > 0 ? loop.items[loop.index - 1] : .undefined(name)
    case "nextitem": return loop.index + 1 < count ? loop.items[loop.index + 1] : .undefined(name)
    default: return .undefined(name)
    }
  }

  func item(
    _ key: TemplateValue, of value: TemplateValue, _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    func place(_ index: Int, _ count: Int) -> Int? {
      let place = index < 0 ? count &+ index : index
      return (0..<count).contains(place) ? place : nil
    }
    switch (value, key) {
    case (.undefined(let what), _):
      throw position.failure(.undefined, "'\(what)' is undefined, so it has no items")
    case (.list(let list), .integer(let index)):
      return place(index, list.items.count).map { list.items[$0] } ?? .undefined("item \(index)")
    case (.string(let text), .integer(let index)):
      return place(index, text.count).map { .string(text[$0..<$0 + 1]) }
        ?? .undefined("character \(index)")
    case (.dictionary(let dictionary), _), (.namespace(let dictionary), _):
      return key.key.flatMap { dictionary[$0] } ?? .undefined("this member")
    default: return .undefined("an item of a \(value.typeName)")
    }
  }

  private mutating func slice(
    _ operand: TemplateExpression,
    _ bounds: (TemplateExpression?, TemplateExpression?, TemplateExpression?),
    _ position: TemplatePosition, _ scope: TemplateScope
  ) throws(Failure) -> TemplateValue {
    func bound(
      _ expression: TemplateExpression?, _ evaluator: inout TemplateEvaluator
    ) throws(Failure) -> Int? {
      guard let expression else { return nil }
      let value = try evaluator.evaluate(expression, scope)
      if case .null = value { return nil }
      guard let index = value.integer else {
        throw position.failure(.type, "a slice's bound is a \(value.typeName), not an integer")
      }
      return index
    }
    let value = try evaluate(operand, scope)
    let low = try bound(bounds.0, &self)
    let high = try bound(bounds.1, &self)
    let step = try bound(bounds.2, &self) ?? 1
    if step == 0 { throw position.failure(.type, "a slice's step is 0") }
    switch value {
    case .string(let text):
      let places = Self.places(low, high, step, text.count)
      try self.step(places.count / 8, position)
      if step == 1, let first = places.first, let last = places.last {
        return try made(text[first..<last + 1], position)
      }
      var result = TemplateText()
      for place in places { result.append(text[place..<place + 1]) }
      return try made(result, position)
    case .list(let list):
      return newList(Self.places(low, high, step, list.items.count).map { list.items[$0] })
    case .undefined(let name): throw position.failure(.undefined, "'\(name)' is undefined")
    default: throw position.failure(.type, "a \(value.typeName) cannot be sliced")
    }
  }

  /// Python's slice indices.
  static func places(_ low: Int?, _ high: Int?, _ step: Int, _ count: Int) -> [Int] {
    func clamp(_ index: Int, _ least: Int, _ most: Int) -> Int {
      max(least, min(most, index < 0 ? index &+ count : index))
    }
    var result: [Int] = []
    if step > 0 {
      let end = high.map { clamp($0, 0, count) } ?? count
      var i = low.map { clamp($0, 0, count) } ?? 0
      while i < end {
        result.append(i)
        let (next, overflow) = i.addingReportingOverflow(step)
        if overflow { break }
        i = next
      }
    } else {
      let end = high.map { clamp($0, -1, count - 1) } ?? -1
      var i = low.map { clamp($0, -1, count - 1) } ?? count - 1
      while i > end {
        result.append(i)
        let (next, overflow) = i.addingReportingOverflow(step)
        if overflow { break }
        i = next
      }
    }
    return result
  }

  /// What a loop goes through: items, keys, characters; nothing for undefined.
  mutating func elements(
    _ value: TemplateValue, _ position: TemplatePosition
  ) throws(Failure) -> [TemplateValue] {
    switch value {
    case .undefined: return []
    case .list(let list):
      try step(list.items.count / 8, position)
      return list.items
    case .dictionary(let dictionary), .namespace(let dictionary):
      try step(dictionary.count, position)
      return dictionary.keys.map(\.value)
    case .string(let text):
      try step(text.count, position)
      return text.scalars.indices.map { .string(text[$0..<$0 + 1]) }
    default: throw position.failure(.type, "a \(value.typeName) has no items to go through")
    }
  }

  /// What a value looks like in the output.
  mutating func string(
    _ value: TemplateValue, _ position: TemplatePosition
  ) throws(Failure) -> TemplateText {
    switch value {
    case .string(let text): return text
    case .undefined: return TemplateText()
    default: return try write(value, TemplateWriter(.python, budget: limits.characters), position)
    }
  }

  mutating func write(
    _ value: TemplateValue, _ writer: TemplateWriter, _ position: TemplatePosition
  ) throws(Failure) -> TemplateText {
    var writer = writer
    writer.write(value)
    if let (kind, message) = writer.problem { throw position.failure(kind, message) }
    try spend(writer.text.count, position)
    return writer.text
  }
}

extension TemplateExpression {
  var position: TemplatePosition {
    switch self {
    case .literal: TemplatePosition()
    case .name(_, let position), .list(_, _, let position), .dictionary(_, let position),
      .unary(_, _, let position), .binary(_, _, _, let position),
      .comparison(_, _, let position), .conditional(_, _, _, let position),
      .attribute(_, _, let position), .item(_, _, let position),
      .slice(_, _, _, _, let position), .call(_, _, let position),
      .filter(_, _, _, let position), .test(_, _, _, _, let position):
      position
    }
  }
}
