import Tokenizers

extension JSONSchemaCompiler {
  /// Whether a value satisfies several schemas at once.
  func isValid(_ value: JSON, _ places: [SchemaPlace]) throws(ConstraintError) -> Bool {
    let place = places.first ?? SchemaPlace(path: "#", json: .bool(true))
    for branch in try branches(places) where try isValid(value, branch, at: place) { return true }
    return false
  }

  /// Whether a value satisfies all that a branch demands.
  func isValid(
    _ value: JSON, _ branch: SchemaBranch, at place: SchemaPlace
  ) throws(ConstraintError) -> Bool {
    if let types = branch.types, !types.contains(SchemaBranch.types(of: value)) { return false }
    if let literals = branch.literals, !literals.contains(where: { $0.isSame(as: value) }) {
      return false
    }
    if branch.excluded.contains(where: { $0.isSame(as: value) }) { return false }
    switch value {
    case .null, .bool: return true
    case .integer, .number: return isValid(number: value, branch.numbers)
    case .string(let text):
      if branch.strings.isTrivial { return true }
      var copy = self
      copy.budget = GrammarBudget()
      return try copy.automaton(of: branch.strings, spell: Expression.characters)
        .matches(text.utf8)
    case .array(let items):
      let arrays = branch.arrays
      if items.count < arrays.minCount || items.count > arrays.maxCount ?? .max { return false }
      for (i, item) in items.enumerated() where try !isValid(item, arrays.places(at: i)) {
        return false
      }
      return true
    case .object(let members): return try isValid(members, branch.objects)
    }
  }

  private func isValid(number: JSON, _ numbers: SchemaBranch.Numbers) -> Bool {
    guard let value = DecimalNumber(number) else { return false }
    if let low = numbers.low, value < low.value || (value == low.value && low.isExclusive) {
      return false
    }
    if let high = numbers.high, value > high.value || (value == high.value && high.isExclusive) {
      return false
    }
    return numbers.divisors.allSatisfy { divisor, _ in
      if let divisor = divisor.integer, divisor != 0 {
        return value.integer.map { $0 % divisor == 0 } ?? false
      }
      return value.fraction.count <= divisor.fraction.count
    }
  }

  private func isValid(
    _ members: [JSON.Member], _ objects: SchemaBranch.Objects
  ) throws(ConstraintError) -> Bool {
    let names = Set(members.map(\.name))
    if names.count < objects.minCount || names.count > objects.maxCount ?? .max { return false }
    if !objects.required.allSatisfy(names.contains) { return false }
    for member in members {
      if try !isValid(.string(member.name), objects.names) { return false }
      var places = objects.places(of: member.name) ?? []
      var isNamed = objects.places(of: member.name) != nil
      for (pattern, place) in objects.patterns
      where try matches(pattern, member.name, at: place) {
        places.append(place)
        isNamed = true
      }
      if !isNamed { places = objects.further ?? [] }
      if try !isValid(member.value, places) { return false }
    }
    return true
  }

  /// The branches of `oneOf`, where values of each can be shown to satisfy none of the others.
  ///
  /// Values that several groups list literally are left out.
  func exclusive(
    _ groups: [[SchemaBranch]], at place: SchemaPlace
  ) throws(ConstraintError) -> [[SchemaBranch]] {
    let given = groups
    var groups = groups
    for i in groups.indices {
      for j in groups[i].indices {
        guard let literals = given[i][j].literals else { continue }
        var kept: [JSON] = []
        for value in literals {
          var isElsewhere = false
          for (k, others) in given.enumerated() where k != i {
            for other in others where try isValid(value, other, at: place) { isElsewhere = true }
          }
          if !isElsewhere { kept.append(value) }
        }
        groups[i][j].literals = kept
      }
    }
    for (i, own) in groups.enumerated() {
      for (k, others) in groups.enumerated() where k != i {
        for a in own {
          for b in others where try !excludes(a, b, depth: 0) {
            throw place.failure(
              "values of branch \(i) may also satisfy branch \(k); use anyOf, or a required "
                + "property with a const of its own in each branch")
          }
        }
      }
    }
    return groups
  }

  /// Whether no value generated for one branch satisfies another; false where that is not seen.
  private func excludes(
    _ a: SchemaBranch, _ b: SchemaBranch, depth: Int
  ) throws(ConstraintError) -> Bool {
    let types = a.generatedTypes.intersection(b.types ?? .all)
    if types.isEmpty { return true }
    let place = SchemaPlace(path: "#", json: document)
    if let literals = a.literals {
      for value in literals where try isValid(value, a, at: place) {
        if try isValid(value, b, at: place) { return false }
      }
      return true
    }
    if let literals = b.literals {
      for value in literals where try isValid(value, b, at: place) {
        if try isValid(value, a, at: place) { return false }
      }
      return true
    }
    if types.isSubset(of: .number) {
      func isBelow(_ high: JSONNumber.Bound?, _ low: JSONNumber.Bound?) -> Bool {
        guard let high, let low else { return false }
        return high.value < low.value
          || (high.value == low.value && (high.isExclusive || low.isExclusive))
      }
      return isBelow(a.numbers.high, b.numbers.low) || isBelow(b.numbers.high, a.numbers.low)
    }
    return types == .object ? try excludes(a.objects, b.objects, depth: depth) : false
  }

  private func excludes(
    _ a: SchemaBranch.Objects, _ b: SchemaBranch.Objects, depth: Int
  ) throws(ConstraintError) -> Bool {
    if !a.patterns.isEmpty || !b.patterns.isEmpty || depth > 4 { return false }
    for name in b.required where a.places(of: name) == nil && !a.required.contains(name) {
      if !a.isOpen { return true }
    }
    for name in a.required {
      guard let theirs = b.places(of: name) else {
        if b.forbidsFurther { return true }
        continue
      }
      guard let ours = a.places(of: name) else { continue }
      var areApart = true
      for x in try branches(ours) {
        for y in try branches(theirs) where try !excludes(x, y, depth: depth + 1) {
          areApart = false
        }
      }
      if areApart { return true }
    }
    return false
  }
}
