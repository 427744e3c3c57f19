import Tokenizers

/// Turns a JSON Schema (draft 2020-12, and what older drafts spell otherwise) into rules.
///
/// What the rules allow satisfies the schema; not everything that satisfies it is allowed:
/// - members come in the order of `properties`, then further ones;
/// - without `additionalProperties`, an object with `properties` has no further members, and without
///   `items` an array with `prefixItems` no further items;
/// - without `type`, values have the types that the other keywords are about;
/// - strings with a pattern or a format, and names, are spelt as serializers spell them.
///
/// Keywords: `type`, `enum`, `const`, `anyOf`, `oneOf` (where the branches exclude each other),
/// `allOf`, `not`, `if`, `then`, `else`, `$ref` within the document, `properties`, `required`,
/// `additionalProperties`, `patternProperties`, `propertyNames`, `minProperties`, `maxProperties`,
/// `dependentRequired`, `dependentSchemas`, `items`, `prefixItems`, `minItems`, `maxItems`,
/// `minLength`, `maxLength`, `pattern`, `format`, `minimum`, `maximum`, `exclusiveMinimum`,
/// `exclusiveMaximum`, `multipleOf`. Others that would restrict values are refused, as are inside
/// `not` and `if` those that no branch says the opposite of; annotations are ignored.
struct JSONSchemaCompiler {
  let document: JSON
  var builder = GrammarBuilder()
  let rules: JSONRules
  var budget = GrammarBudget()
  /// Rules by the places whose schemas they combine.
  private var known: [String: Int] = [:]
  private var waiting: [(rule: Int, places: [SchemaPlace])] = []

  /// The most alternatives that a combination of `anyOf` and `allOf` may have.
  static let mostBranches = 1_024
  /// References and combinations inside each other may not go deeper.
  static let deepestNesting = 64

  init(document: JSON) {
    self.document = document
    rules = JSONRules(&builder)
  }

  mutating func grammar() throws(ConstraintError) -> Grammar {
    let root = SchemaPlace(path: "#", json: document)
    let rule = number(of: [root])
    while let next = waiting.popLast() {
      builder.define(next.rule, try body(next.places))
    }
    return builder.grammar(root: rule)
  }

  /// The rule of values that satisfy several schemas at once; of none: any value.
  mutating func rule(_ places: [SchemaPlace]) -> Expression {
    places.allSatisfy { $0.json == .bool(true) || $0.json == .object([]) }
      ? .rule(rules.value) : .rule(number(of: places))
  }

  private mutating func number(of places: [SchemaPlace]) -> Int {
    let key = Set(places.map(\.path)).sorted().joined(separator: "\u{0}")
    if let rule = known[key] { return rule }
    let rule = builder.declare(places.first?.path ?? "#")
    known[key] = rule
    waiting.append((rule, places))
    return rule
  }

  private mutating func body(_ places: [SchemaPlace]) throws(ConstraintError) -> Expression {
    let place = places.first ?? SchemaPlace(path: "#", json: .bool(true))
    var choices: [Expression] = []
    for branch in try branches(places) {
      choices.append(try expression(branch, at: place))
    }
    return .choice(choices)
  }

  private mutating func expression(
    _ branch: SchemaBranch, at place: SchemaPlace
  ) throws(ConstraintError) -> Expression {
    if let literals = branch.literals {
      var choices: [Expression] = []
      for value in literals where try isValid(value, branch, at: place) {
        choices.append(literal(value))
      }
      return .choice(choices)
    }
    if branch.isAnything { return .rule(rules.value) }
    let types = branch.generatedTypes
    var choices: [Expression] = []
    if types.contains(.null), !branch.excluded.contains(.null) { choices.append(.text("null")) }
    if types.contains(.boolean) {
      choices += [true, false].filter { !branch.excluded.contains(.bool($0)) }.map {
        .text($0 ? "true" : "false")
      }
    }
    if !types.isDisjoint(with: .number) {
      choices.append(
        try number(
          branch.numbers, except: branch.excluded.compactMap { DecimalNumber($0) },
          integersOnly: !types.contains(.fraction)))
    }
    if types.contains(.string) {
      choices.append(try string(branch.strings, except: branch.excludedTexts))
    }
    if types.contains(.array) { choices.append(array(branch.arrays)) }
    if types.contains(.object) { choices.append(try object(branch.objects, at: place)) }
    return .choice(choices)
  }

  private func literal(_ value: JSON) -> Expression {
    switch value {
    case .null: .text("null")
    case .bool(let value): .text(value ? "true" : "false")
    case .integer(let value): .text(String(value))
    case .number(let value): .text(value.description)
    case .string(let text): .text(JSONString.literal(text))
    case .array(let items):
      .sequence([.text("["), rules.space] + separated(items.map(literal)) + [.text("]")])
    case .object(let members):
      .sequence(
        [.text("{"), rules.space]
          + separated(
            members.map {
              .sequence([.text(JSONString.literal($0.name) + ":"), rules.space, literal($0.value)])
            }) + [.text("}")])
    }
  }

  private func separated(_ parts: [Expression]) -> [Expression] {
    if parts.isEmpty { return [] }
    return parts.enumerated().flatMap { i, part in
      i == 0 ? [part] : [.text(","), rules.space, part]
    } + [rules.space]
  }

  private mutating func number(
    _ numbers: SchemaBranch.Numbers, except excluded: [DecimalNumber], integersOnly: Bool
  ) throws(ConstraintError) -> Expression {
    if numbers.isTrivial, excluded.isEmpty { return integersOnly ? rules.integer : rules.number }
    var result = try RuleAutomaton(
      regular: JSONNumber.range(
        from: numbers.low, to: numbers.high, integersOnly: integersOnly, budget: &budget),
      budget: &budget)
    for (divisor, place) in numbers.divisors {
      let multiples: Expression
      if let integer = divisor.integer, (1...9_999).contains(integer) {
        multiples = JSONNumber.multiples(of: integer)
      } else if divisor.whole.isEmpty, divisor.fraction.last == 1,
        divisor.fraction.dropLast().allSatisfy({ $0 == 0 })
      {
        multiples = JSONNumber.decimal(fractionDigits: divisor.fraction.count)
      } else {
        throw place.failure("multipleOf takes an integer from 1 to 9999, or 0.1, 0.01 and so on")
      }
      result = try result.intersection(
        RuleAutomaton(regular: multiples, budget: &budget), budget: &budget)
    }
    for value in excluded {
      let bound = JSONNumber.Bound(value: value, isExclusive: false)
      let spellings = try JSONNumber.range(
        from: bound, to: bound, integersOnly: false, budget: &budget)
      result = try result.subtracting(
        RuleAutomaton(regular: spellings, budget: &budget), budget: &budget)
    }
    return .regular(result)
  }

  private mutating func string(
    _ strings: SchemaBranch.Strings, except excluded: [String]
  ) throws(ConstraintError) -> Expression {
    if strings.isTrivial, excluded.isEmpty { return rules.string }
    if strings.patterns.isEmpty, strings.absentPatterns.isEmpty, strings.formats.isEmpty,
      excluded.isEmpty
    {
      if let most = strings.maxLength, most < strings.minLength { return .nothing }
      return JSONRules.quoted(
        .repeated(JSONString.anyCharacter, min: strings.minLength, max: strings.maxLength))
    }
    return JSONRules.quoted(
      .regular(try automaton(of: strings, except: excluded, spell: JSONString.characters)))
  }

  /// What a string's keywords allow, between the quotes.
  mutating func automaton(
    of strings: SchemaBranch.Strings, except excluded: [String] = [],
    spell: (ScalarSet) -> Expression
  ) throws(ConstraintError) -> RuleAutomaton {
    var demands: [Expression] = []
    for (pattern, place) in strings.patterns {
      demands.append(try Self.search(pattern, at: place, spell: spell))
    }
    for name in strings.formats {
      if let pattern = SchemaFormats.patterns[name] {
        demands.append(try RegexPattern(pattern).wholeMatch(spell: spell))
      }
    }
    if strings.minLength > 0 || strings.maxLength != nil || demands.isEmpty {
      let isEmpty = strings.maxLength.map { $0 < strings.minLength } ?? false
      demands.append(
        isEmpty
          ? .nothing
          : .repeated(spell(.all), min: strings.minLength, max: strings.maxLength))
    }
    var result: RuleAutomaton?
    for demand in demands {
      let next = try RuleAutomaton(regular: demand, budget: &budget)
      result = try result?.intersection(next, budget: &budget) ?? next
    }
    guard var result else { return try RuleAutomaton(regular: .nothing, budget: &budget) }
    var absent = excluded.map {
      Expression.sequence($0.unicodeScalars.map { spell(ScalarSet($0)) })
    }
    for (pattern, place) in strings.absentPatterns {
      absent.append(try Self.search(pattern, at: place, spell: spell))
    }
    for expression in absent {
      result = try result.subtracting(
        RuleAutomaton(regular: expression, budget: &budget), budget: &budget)
    }
    return result
  }

  static func search(
    _ pattern: String, at place: SchemaPlace, spell: (ScalarSet) -> Expression
  ) throws(ConstraintError) -> Expression {
    do {
      return try RegexPattern(pattern).search(spell: spell)
    } catch {
      throw place.failure("\(error)")
    }
  }
}
