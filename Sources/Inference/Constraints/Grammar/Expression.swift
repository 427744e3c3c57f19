/// What a part of a text may be.
indirect enum Expression: Sendable {
  /// These bytes.
  case bytes([UInt8])
  /// One character of a set, in UTF-8.
  case characters(ScalarSet)
  /// All, one after the other; of none: the empty text.
  case sequence([Expression])
  /// Any one; of none: nothing matches.
  case choice([Expression])
  /// So many times; without `max`: at least `min`.
  case repeated(Expression, min: Int, max: Int?)
  /// What a rule of the grammar says.
  case rule(Int)
  /// A walk through a diagram.
  case diagram(Diagram)
  /// A word of a regular language.
  case regular(RuleAutomaton)

  static let empty = Expression.sequence([])
  static let nothing = Expression.choice([])

  static func text(_ text: String) -> Expression { .bytes(Array(text.utf8)) }

  static func optional(_ part: Expression) -> Expression { .repeated(part, min: 0, max: 1) }

  static func character(_ scalar: Unicode.Scalar) -> Expression { .characters(ScalarSet(scalar)) }

  /// States with expressions between them: what sequences and choices could only say by repeating
  /// themselves.
  struct Diagram: Sendable {
    struct Edge: Sendable {
      var from: Int
      var to: Int
      var label: Expression
    }

    var stateCount: Int
    var edges: [Edge] = []
    /// The walk starts at state 0 and may end at these.
    var accepting: [Int] = []
  }
}

/// Rules, and the one that a text must follow.
struct Grammar: Sendable {
  struct Rule: Sendable {
    var name: String
    var body: Expression
  }

  var rules: [Rule]
  var root: Int
}

/// Collects the rules of a grammar; a rule may be used before it is defined.
struct GrammarBuilder {
  private var rules: [Grammar.Rule] = []

  /// A new rule that matches nothing until it is defined.
  mutating func declare(_ name: String) -> Int {
    rules.append(Grammar.Rule(name: name, body: .nothing))
    return rules.count - 1
  }

  mutating func define(_ rule: Int, _ body: Expression) { rules[rule].body = body }

  /// A new rule.
  mutating func add(_ name: String, _ body: Expression) -> Expression {
    let rule = declare(name)
    define(rule, body)
    return .rule(rule)
  }

  func grammar(root: Int) -> Grammar { Grammar(rules: rules, root: root) }
}
