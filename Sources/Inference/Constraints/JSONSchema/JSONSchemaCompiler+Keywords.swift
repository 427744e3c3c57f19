import Tokenizers

extension JSONSchemaCompiler {
  /// Keywords that restrict values in ways that no rule here says.
  static let unsupported: Set<String> = [
    "dependencies", "contains", "minContains", "maxContains", "unevaluatedItems",
    "unevaluatedProperties", "$dynamicRef",
    "$recursiveRef", "extends", "disallow", "divisibleBy",
  ]

  /// What the keywords of one schema demand, but for references and combinations.
  func keywords(
    _ members: [JSON.Member], at place: SchemaPlace
  ) throws(ConstraintError) -> SchemaBranch {
    var branch = SchemaBranch()
    for member in members {
      let here = place.appending(member.name, member.value)
      if Self.unsupported.contains(member.name) {
        throw here.failure("the keyword '\(member.name)' is not supported")
      }
      switch member.name {
      case "type": branch.types = try types(here)
      case "enum":
        guard case .array(let values) = member.value else {
          throw here.failure("an array of values")
        }
        branch.literals =
          branch.literals?.filter { own in values.contains { $0.isSame(as: own) } }
          ?? values
      case "const":
        branch.literals =
          branch.literals?.filter { $0.isSame(as: member.value) } ?? [member.value]
      default:
        if try numberKeyword(member.name, here, place, &branch.numbers) { continue }
        if try stringKeyword(member.name, here, &branch.strings) { continue }
        if try objectKeyword(member.name, here, &branch.objects) {
          branch.objects.isMentioned = true
        } else if try arrayKeyword(member.name, here, place, &branch.arrays) {
          branch.arrays.isMentioned = true
        }
      }
    }
    return branch
  }

  func types(_ place: SchemaPlace) throws(ConstraintError) -> SchemaBranch.Types {
    let names: [JSON]
    if case .array(let list) = place.json { names = list } else { names = [place.json] }
    var result: SchemaBranch.Types = []
    for name in names {
      switch name {
      case .string("null"): result.insert(.null)
      case .string("boolean"): result.insert(.boolean)
      case .string("integer"): result.insert(.integer)
      case .string("number"): result.formUnion(.number)
      case .string("string"): result.insert(.string)
      case .string("array"): result.insert(.array)
      case .string("object"): result.insert(.object)
      default:
        throw place.failure(
          "a type is null, boolean, integer, number, string, array or object, or a list of these")
      }
    }
    return result
  }

  func count(_ place: SchemaPlace) throws(ConstraintError) -> Int {
    guard let value = DecimalNumber(place.json)?.integer, value >= 0 else {
      throw place.failure("an integer of at least 0")
    }
    if value > RegexParser.mostRepetitions {
      throw place.failure("at most \(RegexParser.mostRepetitions)")
    }
    return value
  }

  /// An upper bound: one too large to matter is none.
  func limit(_ place: SchemaPlace) throws(ConstraintError) -> Int? {
    guard let value = DecimalNumber(place.json)?.integer, value >= 0 else {
      throw place.failure("an integer of at least 0")
    }
    return value > RegexParser.mostRepetitions ? nil : value
  }

  func numberKeyword(
    _ name: String, _ place: SchemaPlace, _ schema: SchemaPlace,
    _ numbers: inout SchemaBranch.Numbers
  ) throws(ConstraintError) -> Bool {
    guard
      ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"].contains(name)
    else { return false }
    // Draft 4: a boolean beside `minimum` or `maximum`, which reads it.
    if case .bool = place.json, name.hasPrefix("exclusive") { return true }
    guard let value = DecimalNumber(place.json) else { throw place.failure("a number") }
    switch name {
    case "minimum":
      let isExclusive = schema.json["exclusiveMinimum"] == .bool(true)
      numbers.raise(.init(value: value, isExclusive: isExclusive))
    case "maximum":
      let isExclusive = schema.json["exclusiveMaximum"] == .bool(true)
      numbers.lower(.init(value: value, isExclusive: isExclusive))
    case "exclusiveMinimum": numbers.raise(.init(value: value, isExclusive: true))
    case "exclusiveMaximum": numbers.lower(.init(value: value, isExclusive: true))
    default:
      guard value > .zero else { throw place.failure("a number above 0") }
      numbers.divisors.append((value, place))
    }
    return true
  }

  private func stringKeyword(
    _ name: String, _ place: SchemaPlace, _ strings: inout SchemaBranch.Strings
  ) throws(ConstraintError) -> Bool {
    switch name {
    case "minLength": strings.minLength = try count(place)
    case "maxLength": strings.maxLength = try limit(place)
    case "pattern":
      guard case .string(let pattern) = place.json else { throw place.failure("a string") }
      strings.patterns.append((pattern, place))
    case "format":
      guard case .string(let format) = place.json else { throw place.failure("a string") }
      if SchemaFormats.patterns[format] != nil {
        strings.formats.append(format)
      } else if SchemaFormats.unsupported.contains(format) {
        throw place.failure("the format '\(format)' is not supported")
      }
    default: return false
    }
    return true
  }

  func names(_ place: SchemaPlace) throws(ConstraintError) -> [String] {
    guard case .array(let items) = place.json else { throw place.failure("an array of names") }
    var result: [String] = []
    for item in items {
      guard case .string(let name) = item else { throw place.failure("an array of names") }
      result.append(name)
    }
    return result
  }

  private func objectKeyword(
    _ name: String, _ place: SchemaPlace, _ objects: inout SchemaBranch.Objects
  ) throws(ConstraintError) -> Bool {
    switch name {
    case "properties":
      guard case .object(let members) = place.json else {
        throw place.failure("an object of schemas")
      }
      for member in members {
        if objects.places(of: member.name) != nil {
          throw place.failure("the property '\(member.name)' is there twice")
        }
        objects.properties.append((member.name, [place.appending(member.name, member.value)]))
      }
    case "required":
      for name in try names(place) where !objects.required.contains(name) {
        objects.required.append(name)
      }
    case "additionalProperties": objects.further = [place]
    case "patternProperties":
      guard case .object(let members) = place.json else {
        throw place.failure("an object of schemas")
      }
      for member in members {
        objects.patterns.append((member.name, place.appending(member.name, member.value)))
      }
    case "propertyNames": objects.names = [place]
    case "minProperties": objects.minCount = try count(place)
    case "maxProperties": objects.maxCount = try limit(place)
    default: return false
    }
    return true
  }

  private func arrayKeyword(
    _ name: String, _ place: SchemaPlace, _ schema: SchemaPlace,
    _ arrays: inout SchemaBranch.Arrays
  ) throws(ConstraintError) -> Bool {
    switch name {
    case "prefixItems": arrays.prefix = try tuple(place)
    case "items":
      if case .array = place.json {
        arrays.prefix = try tuple(place)
      } else {
        arrays.items = [place]
      }
    case "additionalItems":
      // Older drafts: what follows a tuple; without one it says nothing.
      guard case .array = schema.json["items"] else { return false }
      arrays.items = [place]
    case "minItems": arrays.minCount = try count(place)
    case "maxItems": arrays.maxCount = try limit(place)
    case "uniqueItems":
      if place.json != .bool(false) {
        throw place.failure("the keyword 'uniqueItems' is not supported")
      }
      return false
    default: return false
    }
    return true
  }

  private func tuple(_ place: SchemaPlace) throws(ConstraintError) -> [[SchemaPlace]] {
    guard case .array(let items) = place.json else { throw place.failure("an array of schemas") }
    return items.enumerated().map { [place.appending(String($0), $1)] }
  }
}
