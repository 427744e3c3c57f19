extension TemplateEvaluator {
  /// What may stand after `is`.
  mutating func test(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments,
    _ position: TemplatePosition
  ) throws(Failure) -> Bool {
    switch name {
    case "defined": return !value.isUndefined
    case "undefined": return value.isUndefined
    case "none": if case .null = value { return true } else { return false }
    case "string": if case .string = value { return true } else { return false }
    case "mapping": if case .dictionary = value { return true } else { return false }
    case "boolean": if case .bool = value { return true } else { return false }
    case "true": if case .bool(true) = value { return true } else { return false }
    case "false": if case .bool(false) = value { return true } else { return false }
    case "integer": if case .integer = value { return true } else { return false }
    case "float": if case .number = value { return true } else { return false }
    case "number": return value.double != nil
    case "iterable", "sequence":
      switch value {
      case .list, .string, .dictionary: return true
      case .undefined: return true
      default: return false
      }
    case "callable":
      switch value {
      case .macro, .function: return true
      default: return false
      }
    case "odd", "even", "divisibleby":
      guard let integer = value.integer else {
        throw position.failure(.type, "a \(value.typeName) is neither odd nor even")
      }
      let divisor = name == "divisibleby" ? arguments.positional.first?.integer ?? 0 : 2
      if divisor == 0 { throw position.failure(.type, "division by zero") }
      let divides = divisor == -1 || integer % divisor == 0
      return name == "odd" ? !divides : divides
    case "lower", "upper":
      let text = try string(value, position)
      let isLower = name == "lower"
      return text.scalars.contains { $0.properties.isCased }
        && text.sameCharacters(as: isLower ? Self.lower(text) : Self.upper(text))
    case "sameas":
      let other = arguments.positional.first ?? .undefined(name)
      if value.typeName != other.typeName { return false }
      return try equal(value, other, position)
    default: break
    }
    let comparisons: [String: TemplateExpression.Comparison] = [
      "eq": .equal, "equalto": .equal, "==": .equal, "ne": .unequal, "!=": .unequal, "lt": .less,
      "lessthan": .less, "<": .less, "le": .lessOrEqual, "<=": .lessOrEqual, "gt": .greater,
      "greaterthan": .greater, ">": .greater, "ge": .greaterOrEqual, ">=": .greaterOrEqual,
      "in": .contained,
    ]
    guard let comparison = comparisons[name] else {
      throw position.failure(.unsupported, "the test '\(name)' is not supported")
    }
    guard let other = arguments.positional.first else {
      throw position.failure(.type, "the test '\(name)' needs a value")
    }
    return try holds(comparison, value, other, position)
  }
}
