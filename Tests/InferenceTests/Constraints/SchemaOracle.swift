import Tokenizers

/// JSON Schema by the letter, keyword by keyword: what documents of a constraint must satisfy.
struct SchemaOracle {
  let root: JSON

  func isValid(_ value: JSON) throws -> Bool { try isValid(value, root) }

  private func isValid(_ value: JSON, _ schema: JSON) throws -> Bool {
    guard case .object(let keywords) = schema else { return schema == .bool(true) }
    for keyword in keywords where try !satisfies(value, keyword.name, keyword.value, schema) {
      return false
    }
    return true
  }

  private func satisfies(
    _ value: JSON, _ keyword: String, _ demand: JSON, _ schema: JSON
  ) throws -> Bool {
    switch keyword {
    case "$ref": return try isValid(value, resolve(demand))
    case "allOf": return try demand.elements.allSatisfy { try isValid(value, $0) }
    case "anyOf": return try demand.elements.contains { try isValid(value, $0) }
    case "oneOf": return try demand.elements.count { try isValid(value, $0) } == 1
    case "not": return try !isValid(value, demand)
    case "if":
      let branch = try isValid(value, demand) ? "then" : "else"
      return try schema[branch].map { try isValid(value, $0) } ?? true
    case "const": return Self.same(value, demand)
    case "enum": return demand.elements.contains { Self.same(value, $0) }
    case "type":
      let names = demand.elements.isEmpty ? [demand] : demand.elements
      return names.contains { Self.hasType(value, $0) }
    default: break
    }
    switch value {
    case .integer, .number: return Self.number(value, keyword, demand)
    case .string(let text): return try Self.string(text, keyword, demand)
    case .array(let items): return try array(items, keyword, demand, schema)
    case .object(let members): return try object(members, keyword, demand, schema)
    case .null, .bool: return true
    }
  }

  private func resolve(_ reference: JSON) -> JSON {
    guard case .string(let text) = reference else { return .bool(false) }
    return text.dropFirst(2).split(separator: "/").reduce(root) { $0[String($1)] ?? .bool(false) }
  }

  static func same(_ a: JSON, _ b: JSON) -> Bool {
    if let x = a.real, let y = b.real { return x == y }
    switch (a, b) {
    case (.array(let x), .array(let y)): return x.count == y.count && zip(x, y).allSatisfy(same)
    case (.object(let x), .object(let y)):
      return x.count == y.count
        && x.allSatisfy { m in b[m.name].map { same(m.value, $0) } ?? false }
    default: return a == b
    }
  }

  static func hasType(_ value: JSON, _ name: JSON) -> Bool {
    switch (value, name) {
    case (.null, .string("null")), (.bool, .string("boolean")), (.string, .string("string")),
      (.array, .string("array")), (.object, .string("object")), (.integer, .string("integer")),
      (.integer, .string("number")), (.number, .string("number")):
      true
    case (.number(let number), .string("integer")): number == number.rounded()
    default: false
    }
  }

  static func number(_ value: JSON, _ keyword: String, _ demand: JSON) -> Bool {
    guard let number = value.real, let bound = demand.real else { return true }
    switch keyword {
    case "minimum": return number >= bound
    case "maximum": return number <= bound
    case "exclusiveMinimum": return number > bound
    case "exclusiveMaximum": return number < bound
    case "multipleOf":
      return (number / bound - (number / bound).rounded()).magnitude < 1e-6
    default: return true
    }
  }

  static func string(_ text: String, _ keyword: String, _ demand: JSON) throws -> Bool {
    switch (keyword, demand) {
    case ("minLength", .integer(let count)): return text.unicodeScalars.count >= count
    case ("maxLength", .integer(let count)): return text.unicodeScalars.count <= count
    case ("pattern", .string(let pattern)):
      return try text.firstMatch(of: Regex(pattern).matchingSemantics(.unicodeScalar)) != nil
    default: return true
    }
  }

  private func array(
    _ items: [JSON], _ keyword: String, _ demand: JSON, _ schema: JSON
  ) throws -> Bool {
    switch (keyword, demand) {
    case ("minItems", .integer(let count)): return items.count >= count
    case ("maxItems", .integer(let count)): return items.count <= count
    case ("prefixItems", _):
      return try zip(items, demand.elements).allSatisfy { try isValid($0, $1) }
    case ("items", _):
      let first = schema["prefixItems"]?.elements.count ?? 0
      return try items.dropFirst(first).allSatisfy { try isValid($0, demand) }
    default: return true
    }
  }

  private func object(
    _ members: [JSON.Member], _ keyword: String, _ demand: JSON, _ schema: JSON
  ) throws -> Bool {
    let names = Set(members.map(\.name))
    let object = JSON.object(members)
    switch (keyword, demand) {
    case ("minProperties", .integer(let count)): return names.count >= count
    case ("maxProperties", .integer(let count)): return names.count <= count
    case ("required", _):
      return demand.elements.allSatisfy { name in names.contains { JSON.string($0) == name } }
    case ("propertyNames", _): return try names.allSatisfy { try isValid(.string($0), demand) }
    case ("dependentRequired", .object(let entries)):
      return entries.allSatisfy { entry in
        !names.contains(entry.name)
          || entry.value.elements.allSatisfy { name in names.contains { .string($0) == name } }
      }
    case ("dependentSchemas", .object(let entries)):
      return try entries.allSatisfy {
        try !names.contains($0.name) || isValid(object, $0.value)
      }
    case ("properties", .object(let properties)):
      return try properties.allSatisfy { property in
        guard let value = object[property.name] else { return true }
        return try isValid(value, property.value)
      }
    case ("patternProperties", .object(let patterns)):
      return try patterns.allSatisfy { pattern in
        let regex = try Regex(pattern.name)
        return try names.filter { $0.contains(regex) }.allSatisfy {
          try isValid(object[$0] ?? .null, pattern.value)
        }
      }
    case ("additionalProperties", _):
      var patterns: [Regex<AnyRegexOutput>] = []
      if case .object(let list)? = schema["patternProperties"] {
        patterns = try list.map { try Regex($0.name) }
      }
      return try names.filter { name in
        schema["properties"]?[name] == nil && !patterns.contains { name.contains($0) }
      }.allSatisfy { try isValid(object[$0] ?? .null, demand) }
    default: return true
    }
  }
}

extension JSON {
  var elements: [JSON] { if case .array(let items) = self { items } else { [] } }

  var real: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
}
