/// A regular expression's syntax.
indirect enum RegexNode {
  case set(ScalarSet)
  case sequence([RegexNode])
  case choice([RegexNode])
  case repeated(RegexNode, min: Int, max: Int?)
  /// `^`, with its place in the pattern.
  case start(offset: Int)
  /// `$`, with its place in the pattern.
  case end(offset: Int)
}

/// A regular expression, to be matched by a whole text or somewhere in it.
struct RegexPattern {
  private let node: RegexNode

  /// Reads ECMA-262 syntax.
  init(_ pattern: String) throws(ConstraintError) {
    var parser = RegexParser(pattern)
    node = try parser.parse()
  }

  /// Texts that match as a whole.
  ///
  /// Anchors may stand at the ends, where they say nothing new.
  ///
  /// - Parameter spell: how a character is written.
  func wholeMatch(
    spell: (ScalarSet) -> Expression = Expression.characters
  ) throws(ConstraintError) -> Expression {
    try .choice(
      Self.branches(node).map { branch throws(ConstraintError) in
        try Self.expression(branch.body, spell)
      })
  }

  /// Texts in which some part matches.
  ///
  /// - Parameter spell: how a character is written.
  func search(spell: (ScalarSet) -> Expression) throws(ConstraintError) -> Expression {
    let any = Expression.repeated(spell(.all), min: 0, max: nil)
    return try .choice(
      Self.branches(node).map { branch throws(ConstraintError) in
        let body = try Self.expression(branch.body, spell)
        return .sequence(
          (branch.startsText ? [] : [any]) + [body] + (branch.endsText ? [] : [any]))
      })
  }

  /// An alternative without the anchors at its ends.
  private struct Branch {
    var body: RegexNode
    var startsText = false
    var endsText = false
  }

  /// The alternatives of a pattern, also those of a group that is all of it.
  private static func branches(_ node: RegexNode) throws(ConstraintError) -> [Branch] {
    switch node {
    case .choice(let nodes):
      var result: [Branch] = []
      for node in nodes { result += try branches(node) }
      return result
    case .sequence(var nodes):
      var startsText = false
      var endsText = false
      while case .start = nodes.first {
        startsText = true
        nodes.removeFirst()
      }
      while case .end = nodes.last {
        endsText = true
        nodes.removeLast()
      }
      if nodes.count == 1, case .choice = nodes[0] {
        var inner = try branches(nodes[0])
        for i in inner.indices {
          inner[i].startsText = inner[i].startsText || startsText
          inner[i].endsText = inner[i].endsText || endsText
        }
        return inner
      }
      return [Branch(body: .sequence(nodes), startsText: startsText, endsText: endsText)]
    case .start: return [Branch(body: .sequence([]), startsText: true)]
    case .end: return [Branch(body: .sequence([]), endsText: true)]
    default: return [Branch(body: node)]
    }
  }

  private static func expression(
    _ node: RegexNode, _ spell: (ScalarSet) -> Expression
  ) throws(ConstraintError) -> Expression {
    switch node {
    case .set(let set): return spell(set)
    case .sequence(let nodes):
      var parts: [Expression] = []
      for node in nodes { parts.append(try expression(node, spell)) }
      return .sequence(parts)
    case .choice(let nodes):
      var parts: [Expression] = []
      for node in nodes { parts.append(try expression(node, spell)) }
      return .choice(parts)
    case .repeated(let node, let min, let max):
      return .repeated(try expression(node, spell), min: min, max: max)
    case .start(let offset):
      throw .regex(offset: offset, problem: "'^' may only stand at the beginning of the pattern")
    case .end(let offset):
      throw .regex(offset: offset, problem: "'$' may only stand at the end of the pattern")
    }
  }
}
