import Tokenizers

extension JSONSchemaCompiler {
  /// The alternatives of values that satisfy several schemas at once.
  func branches(_ places: [SchemaPlace]) throws(ConstraintError) -> [SchemaBranch] {
    var result = [SchemaBranch()]
    for place in places {
      result = try combine(result, try alternatives(place, path: []), at: place)
    }
    return result
  }

  /// The alternatives of one schema.
  ///
  /// - Parameter path: the places on the way here through references and combinations.
  func alternatives(
    _ place: SchemaPlace, path: [String]
  ) throws(ConstraintError) -> [SchemaBranch] {
    if path.contains(place.path) { throw place.failure("the schema refers to itself only") }
    if path.count > Self.deepestNesting {
      throw place.failure("more than \(Self.deepestNesting) references inside each other")
    }
    let members: [JSON.Member]
    switch place.json {
    case .bool(true): return [SchemaBranch()]
    case .bool(false): return []
    case .object(let found): members = found
    default: throw place.failure("a schema is an object or a boolean")
    }
    let path = path + [place.path]
    var result = [try keywords(members, at: place)]
    for member in members {
      let here = place.appending(member.name, member.value)
      switch member.name {
      case "$ref":
        guard case .string(let reference) = member.value else {
          throw here.failure("a reference is a string")
        }
        result = try combine(
          result, try alternatives(resolve(reference, at: here), path: path), at: here)
      case "allOf":
        for part in try list(here) {
          result = try combine(result, try alternatives(part, path: path), at: here)
        }
      case "anyOf", "oneOf":
        var groups: [[SchemaBranch]] = []
        for part in try list(here) { groups.append(try alternatives(part, path: path)) }
        if member.name == "oneOf" { groups = try exclusive(groups, at: here) }
        result = try combine(result, groups.flatMap(\.self), at: here)
      case "not": result = try combine(result, try negation(of: here, path: path), at: here)
      case "if":
        result = try combine(result, try conditional(here, in: place, path: path), at: here)
      case "dependentRequired", "dependentSchemas":
        guard case .object(let entries) = member.value else {
          throw here.failure("an object by names of members")
        }
        for entry in entries {
          let there = here.appending(entry.name, entry.value)
          var present = SchemaBranch(required: [entry.name])
          var demands = [SchemaBranch()]
          if member.name == "dependentRequired" {
            present.objects.required += try names(there).filter { $0 != entry.name }
          } else {
            demands = try alternatives(there, path: path)
          }
          result = try combine(
            result,
            [SchemaBranch(forbidding: entry.name, at: there)]
              + combine([present], demands, at: there), at: there)
        }
      default: continue
      }
    }
    return result
  }

  /// `if`, with the `then` and the `else` beside it.
  private func conditional(
    _ condition: SchemaPlace, in place: SchemaPlace, path: [String]
  ) throws(ConstraintError) -> [SchemaBranch] {
    if place.json["then"] == nil, place.json["else"] == nil { return [SchemaBranch()] }
    func part(_ name: String) throws(ConstraintError) -> [SchemaBranch] {
      guard let json = place.json[name] else { return [SchemaBranch()] }
      return try alternatives(place.appending(name, json), path: path)
    }
    return try combine(alternatives(condition, path: path), part("then"), at: condition)
      + combine(negation(of: condition, path: path), part("else"), at: condition)
  }

  /// The schemas of a keyword that combines some.
  func list(_ place: SchemaPlace) throws(ConstraintError) -> [SchemaPlace] {
    guard case .array(let items) = place.json, !items.isEmpty else {
      throw place.failure("an array of schemas, not empty")
    }
    return items.enumerated().map { place.appending(String($0), $1) }
  }

  func combine(
    _ a: [SchemaBranch], _ b: [SchemaBranch], at place: SchemaPlace
  ) throws(ConstraintError) -> [SchemaBranch] {
    if a.count * b.count > Self.mostBranches {
      throw place.failure("more than \(Self.mostBranches) alternatives in all")
    }
    var result: [SchemaBranch] = []
    for x in a {
      for y in b { result.append(try x.intersection(y, at: place)) }
    }
    return result
  }

  /// What a reference within the document points to.
  func resolve(
    _ reference: String, at place: SchemaPlace
  ) throws(ConstraintError) -> SchemaPlace {
    guard reference.first == "#" else {
      throw place.failure("only references within the document ('#/…') are supported")
    }
    if reference == "#" { return SchemaPlace(path: "#", json: document) }
    guard reference.hasPrefix("#/") else {
      throw place.failure("only references by path ('#/…') are supported")
    }
    var here = SchemaPlace(path: "#", json: document)
    for part in reference.dropFirst(2).split(separator: "/", omittingEmptySubsequences: false) {
      let name = Self.percentDecoded(part).replacing("~1", with: "/").replacing("~0", with: "~")
      var next: JSON?
      switch here.json {
      case .object: next = here.json[name]
      case .array(let items):
        next = Int(name).flatMap { items.indices.contains($0) ? items[$0] : nil }
      default: next = nil
      }
      guard let next else { throw place.failure("'\(reference)' is not in the document") }
      here = here.appending(name, next)
    }
    return here
  }

  private static func percentDecoded(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
