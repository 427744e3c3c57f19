import Tokenizers

extension JSONSchemaCompiler {
  /// The alternatives of values that do not satisfy a schema: those that break one of its keywords.
  ///
  /// Not all such values need be among them, but no others.
  func negation(
    of place: SchemaPlace, path: [String]
  ) throws(ConstraintError) -> [SchemaBranch] {
    let own = place.negated.path
    if path.contains(own) { throw place.failure("the schema refers to itself only") }
    if path.count > Self.deepestNesting {
      throw place.failure("more than \(Self.deepestNesting) references inside each other")
    }
    switch place.json {
    case .bool(true): return []
    case .bool(false): return [SchemaBranch()]
    case .object(let members):
      var result: [SchemaBranch] = []
      for member in members {
        result += try negation(
          of: member.name, at: place.appending(member.name, member.value), in: place,
          path: path + [own])
      }
      return result
    default: throw place.failure("a schema is an object or a boolean")
    }
  }

  /// Keywords that can be broken in ways that no branch says.
  private static let indivisible: Set<String> = [
    "oneOf", "if", "dependentRequired", "dependentSchemas", "multipleOf", "format", "items",
    "prefixItems", "additionalItems", "minItems", "maxItems", "uniqueItems",
    "additionalProperties", "patternProperties", "propertyNames", "minProperties",
    "maxProperties",
  ]

  /// The alternatives of values that break one keyword.
  private func negation(
    of keyword: String, at here: SchemaPlace, in place: SchemaPlace, path: [String]
  ) throws(ConstraintError) -> [SchemaBranch] {
    if Self.unsupported.contains(keyword) || Self.indivisible.contains(keyword) {
      throw here.failure("the keyword '\(keyword)' is not supported inside 'not' and 'if'")
    }
    var branch = SchemaBranch()
    switch keyword {
    case "type":
      let types = try types(here)
      var others = SchemaBranch.Types.all.subtracting(types)
      // Numbers that are not integers have no rule of their own.
      if types.contains(.integer) { others.remove(.fraction) }
      branch.types = others
    case "const", "enum":
      if keyword == "const" {
        branch.excluded = [here.json]
      } else {
        guard case .array(let values) = here.json else { throw here.failure("an array of values") }
        branch.excluded = values
      }
      for value in branch.excluded
      where !SchemaBranch.types(of: value).isDisjoint(with: [.array, .object]) {
        throw here.failure("arrays and objects are not supported inside 'not' and 'if'")
      }
    case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
      var numbers = SchemaBranch.Numbers()
      _ = try numberKeyword(keyword, here, place, &numbers)
      guard let bound = numbers.low ?? numbers.high else { return [] }
      let opposite = JSONNumber.Bound(value: bound.value, isExclusive: !bound.isExclusive)
      branch.types = .number
      if numbers.low == nil {
        branch.numbers.raise(opposite)
      } else {
        branch.numbers.lower(opposite)
      }
    case "minLength":
      let least = try count(here)
      if least == 0 { return [] }
      (branch.types, branch.strings.maxLength) = (.string, least - 1)
    case "maxLength":
      guard let most = try limit(here) else { return [] }
      (branch.types, branch.strings.minLength) = (.string, most + 1)
    case "pattern":
      guard case .string(let pattern) = here.json else { throw here.failure("a string") }
      (branch.types, branch.strings.absentPatterns) = (.string, [(pattern, here)])
    case "required":
      return try names(here).map {
        var branch = SchemaBranch(forbidding: $0, at: here)
        branch.types = .object
        return branch
      }
    case "properties":
      guard case .object(let members) = here.json else {
        throw here.failure("an object of schemas")
      }
      return members.map {
        var branch = SchemaBranch(required: [$0.name])
        branch.types = .object
        branch.objects.properties = [($0.name, [here.appending($0.name, $0.value).negated])]
        return branch
      }
    case "$ref":
      guard case .string(let reference) = here.json else {
        throw here.failure("a reference is a string")
      }
      return try negation(of: resolve(reference, at: here), path: path)
    case "allOf":
      var result: [SchemaBranch] = []
      for part in try list(here) { result += try negation(of: part, path: path) }
      return result
    case "anyOf":
      var result = [SchemaBranch()]
      for part in try list(here) {
        result = try combine(result, try negation(of: part, path: path), at: here)
      }
      return result
    case "not": return try alternatives(here, path: path)
    default: return []
    }
    return [branch]
  }
}

extension SchemaBranch {
  /// Objects with some members.
  init(required names: [String]) {
    self.init()
    objects.isMentioned = true
    objects.required = names
  }

  /// Objects without a member.
  init(forbidding name: String, at place: SchemaPlace) {
    self.init()
    objects.isMentioned = true
    objects.properties = [(name, [SchemaPlace(path: place.path + "~absent", json: .bool(false))])]
  }
}
