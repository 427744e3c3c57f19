public import Tokenizers

extension ConstraintGrammar {
  /// Whether a schema keeps to the rules of OpenAI's strict mode.
  ///
  /// The root is an object and no choice; every object forbids further members and requires all its
  /// properties; objects and arrays are at most 10 deep with 5000 properties in all; `allOf`, `not`,
  /// conditions and dependencies are not used.
  ///
  /// - Throws: `ConstraintError.schema` with the first place that breaks a rule.
  public static func checkStrict(_ schema: JSON) throws(ConstraintError) {
    let root = SchemaPlace(path: "#", json: schema)
    var check = StrictSchemaCheck()
    guard schema["type"] == .string("object"), schema["anyOf"] == nil else {
      throw root.failure("strict mode: the root's type is 'object', without anyOf")
    }
    try check.visit(root, depth: 0)
  }
}

/// Walks over a schema by the rules of strict mode.
private struct StrictSchemaCheck {
  private var properties = 0

  private static let forbidden: Set<String> = [
    "allOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas",
  ]
  private static let mostProperties = 5_000
  private static let deepestNesting = 10

  /// - Parameter depth: the objects and arrays around the place.
  mutating func visit(_ place: SchemaPlace, depth: Int) throws(ConstraintError) {
    guard case .object(let members) = place.json else { return }
    if depth > Self.deepestNesting {
      throw place.failure("strict mode: more than \(Self.deepestNesting) levels")
    }
    if let member = members.first(where: { Self.forbidden.contains($0.name) }) {
      throw place.appending(member.name, member.value)
        .failure("strict mode: '\(member.name)' is not allowed")
    }
    try checkObject(place)
    for member in members {
      let here = place.appending(member.name, member.value)
      switch (member.name, member.value) {
      case ("properties", .object(let list)), ("$defs", .object(let list)),
        ("definitions", .object(let list)):
        let inner = member.name == "properties" ? depth + 1 : 0
        for part in list { try visit(here.appending(part.name, part.value), depth: inner) }
      case ("anyOf", .array(let list)), ("prefixItems", .array(let list)):
        let inner = member.name == "anyOf" ? depth : depth + 1
        for (i, part) in list.enumerated() {
          try visit(here.appending(String(i), part), depth: inner)
        }
      case ("items", _): try visit(here, depth: depth + 1)
      default: continue
      }
    }
  }

  private mutating func checkObject(_ place: SchemaPlace) throws(ConstraintError) {
    let isObject: Bool
    switch place.json["type"] {
    case .string("object"): isObject = true
    case .array(let types): isObject = types.contains(.string("object"))
    default: isObject = place.json["properties"] != nil
    }
    if !isObject { return }
    guard place.json["additionalProperties"] == .bool(false) else {
      throw place.failure("strict mode: an object has 'additionalProperties': false")
    }
    guard case .object(let list)? = place.json["properties"] else { return }
    properties += list.count
    if properties > Self.mostProperties {
      throw place.failure("strict mode: more than \(Self.mostProperties) properties in all")
    }
    var required: [JSON] = []
    if case .array(let names)? = place.json["required"] { required = names }
    if let missing = list.first(where: { !required.contains(.string($0.name)) }) {
      throw place.failure("strict mode: the property '\(missing.name)' is not in 'required'")
    }
  }
}
