import Tokenizers

extension JSONSchemaCompiler {
  /// Objects: the declared members in their order, then further ones.
  mutating func object(
    _ objects: SchemaBranch.Objects, at place: SchemaPlace
  ) throws(ConstraintError) -> Expression {
    if !objects.isMentioned { return .rule(rules.object) }
    var members: [(pair: Expression, isRequired: Bool)] = []
    for (name, places) in try declared(objects) {
      members.append(
        (pair(.text(JSONString.literal(name)), places), objects.required.contains(name)))
    }
    let further = try furtherMembers(objects)
    let requiredCount = members.count { $0.isRequired }
    // Further names may repeat, so that only the first of them counts towards a minimum.
    if objects.minCount > members.count + 1, further != nil {
      throw place.failure(
        "minProperties may ask for one member more than 'properties' names, no more")
    }
    var diagram = MemberDiagram(
      least: objects.minCount > requiredCount ? objects.minCount : 0, most: objects.maxCount)
    diagram.build(members, further: further, space: rules.space)
    return .sequence([.text("{"), rules.space, .diagram(diagram.diagram), .text("}")])
  }

  /// The members with a name, also those that are only required.
  private func declared(
    _ objects: SchemaBranch.Objects
  ) throws(ConstraintError) -> [(name: String, places: [SchemaPlace])] {
    var result: [(name: String, places: [SchemaPlace])] = []
    let undeclared = objects.required.filter { objects.places(of: $0) == nil }
    for (name, places) in objects.properties + undeclared.map({ ($0, []) }) {
      var all = places
      for (pattern, place) in objects.patterns where try matches(pattern, name, at: place) {
        all.append(place)
      }
      if all.isEmpty { all = objects.further ?? [] }
      // A name that is not allowed has no value.
      if try !isValid(.string(name), objects.names) {
        all.append(SchemaPlace(path: "#~absent", json: .bool(false)))
      }
      result.append((name, all))
    }
    return result
  }

  /// Whether a pattern is found in a name.
  func matches(
    _ pattern: String, _ name: String, at place: SchemaPlace
  ) throws(ConstraintError) -> Bool {
    var budget = GrammarBudget()
    let search = try Self.search(pattern, at: place, spell: Expression.characters)
    return try RuleAutomaton(regular: search, budget: &budget).matches(name.utf8)
  }

  private mutating func pair(_ name: Expression, _ places: [SchemaPlace]) -> Expression {
    .sequence([name, .text(":"), rules.space, rule(places)])
  }

  /// Members whose names are not declared; nil where there are none.
  private mutating func furtherMembers(
    _ objects: SchemaBranch.Objects
  ) throws(ConstraintError) -> Expression? {
    let names = objects.properties.map(\.name) + objects.required
    var free = try RuleAutomaton(
      regular: .repeated(JSONString.characters(.all), min: 0, max: nil), budget: &budget)
    if !names.isEmpty {
      let taken = Expression.choice(
        Set(names).sorted().map { .text(String(JSONString.literal($0).dropFirst().dropLast())) })
      free = try free.subtracting(
        RuleAutomaton(regular: taken, budget: &budget), budget: &budget)
    }
    for place in objects.names {
      free = try free.intersection(automaton(ofNames: place), budget: &budget)
    }
    // Names that one pattern alone matches; then those that none does.
    var automata: [RuleAutomaton] = []
    for (pattern, place) in objects.patterns {
      automata.append(
        try RuleAutomaton(
          regular: Self.search(pattern, at: place, spell: JSONString.characters), budget: &budget))
    }
    var choices: [Expression] = []
    for (i, automaton) in automata.enumerated() {
      var own = try free.intersection(automaton, budget: &budget)
      for (j, other) in automata.enumerated() where j != i {
        own = try own.subtracting(other, budget: &budget)
      }
      let place = objects.patterns[i].place
      if !own.isEmpty, place.json != .bool(false) {
        choices.append(pair(JSONRules.quoted(.regular(own)), [place]))
      }
    }
    if objects.isOpen {
      for automaton in automata { free = try free.subtracting(automaton, budget: &budget) }
      if !free.isEmpty {
        choices.append(pair(JSONRules.quoted(.regular(free)), objects.further ?? []))
      }
    }
    return choices.isEmpty ? nil : .choice(choices)
  }

  /// The names that satisfy a schema.
  private mutating func automaton(
    ofNames place: SchemaPlace
  ) throws(ConstraintError) -> RuleAutomaton {
    var choices: [Expression] = []
    for branch in try branches([place]) where branch.types?.contains(.string) ?? true {
      if let literals = branch.literals {
        for literal in literals {
          guard case .string(let text) = literal, try isValid(literal, branch, at: place) else {
            continue
          }
          choices.append(.text(String(JSONString.literal(text).dropFirst().dropLast())))
        }
      } else {
        choices.append(
          .regular(
            try automaton(
              of: branch.strings, except: branch.excludedTexts, spell: JSONString.characters)))
      }
    }
    return try RuleAutomaton(regular: .choice(choices), budget: &budget)
  }

  /// Arrays: the items of the prefix, then others.
  mutating func array(_ arrays: SchemaBranch.Arrays) -> Expression {
    if !arrays.isMentioned { return .rule(rules.array) }
    var most = arrays.maxCount
    let isOpen =
      arrays.items != nil
      ? !arrays.forbidsItems : arrays.prefix.isEmpty || arrays.minCount > arrays.prefix.count
    if !isOpen { most = min(most ?? .max, arrays.prefix.count) }
    // State k: k items are there; the last state stands for all larger counts.
    let last = most ?? max(arrays.prefix.count, arrays.minCount, 1)
    var diagram = Expression.Diagram(stateCount: last + 2)
    let end = last + 1
    diagram.accepting = [end]
    if arrays.minCount == 0 { diagram.edges.append(.init(from: 0, to: end, label: .empty)) }
    for count in 0..<max(last, 0) {
      let item = rule(arrays.places(at: count))
      diagram.edges.append(
        .init(from: count, to: count + 1, label: count == 0 ? item : further(item)))
    }
    if most == nil {
      diagram.edges.append(
        .init(from: last, to: last, label: further(rule(arrays.places(at: last)))))
    }
    for count in 0...last where count >= max(arrays.minCount, 1) {
      diagram.edges.append(.init(from: count, to: end, label: rules.space))
    }
    return .sequence([.text("["), rules.space, .diagram(diagram), .text("]")])
  }

  private func further(_ item: Expression) -> Expression {
    .sequence([.text(","), rules.space, item])
  }
}

/// The diagram of an object's members: a state for each position among the declared ones and what
/// must be remembered of those written so far.
private struct MemberDiagram {
  private struct State: Hashable {
    var position: Int
    /// Members written, at most one or what `most` needs.
    var count = 0
    /// Different names written, as far as `least` needs.
    var names = 0
    /// A further member was written, where `least` needs to know.
    var hasFurther = false
  }

  private let least: Int
  private let most: Int?
  private(set) var diagram = Expression.Diagram(stateCount: 0)
  private var numbers: [State: Int] = [:]
  private var states: [State] = []

  init(least: Int, most: Int?) {
    self.least = least
    self.most = most
  }

  private mutating func number(_ state: State) -> Int {
    if let known = numbers[state] { return known }
    numbers[state] = states.count
    states.append(state)
    diagram.stateCount = states.count
    return states.count - 1
  }

  mutating func build(
    _ members: [(pair: Expression, isRequired: Bool)], further: Expression?, space: Expression
  ) {
    _ = number(State(position: 0))
    var next = 0
    var ends: [Int] = []
    while next < states.count {
      let state = states[next]
      let comma: [Expression] = state.count > 0 ? [.text(","), space] : []
      if state.position < members.count {
        let (pair, isRequired) = members[state.position]
        if let after = written(state, isFurther: false) {
          connect(next, after, .sequence(comma + [pair]))
        }
        if !isRequired {
          var after = state
          after.position += 1
          connect(next, after, .empty)
        }
      } else {
        if let further, let after = written(state, isFurther: true) {
          connect(next, after, .sequence(comma + [further]))
        }
        if state.names >= least { ends.append(next) }
      }
      next += 1
    }
    let end = states.count
    diagram.stateCount = end + 1
    diagram.accepting = [end]
    for state in ends {
      diagram.edges.append(
        .init(from: state, to: end, label: states[state].count > 0 ? space : .empty))
    }
  }

  private mutating func connect(_ from: Int, _ to: State, _ label: Expression) {
    diagram.edges.append(.init(from: from, to: number(to), label: label))
  }

  /// After one member more, or nil where there may not be one.
  private func written(_ state: State, isFurther: Bool) -> State? {
    if let most, state.count >= most { return nil }
    var result = state
    result.count = min(state.count + 1, most ?? 1)
    if !isFurther { result.position += 1 }
    if least > 0, !(isFurther && state.hasFurther) {
      result.names = min(state.names + 1, least)
      if isFurther { result.hasFurther = true }
    }
    return result
  }
}
