/// Reads a template's statements by recursive descent.
struct TemplateParser {
  /// Expressions and blocks inside each other may not go deeper.
  static let deepestNesting = 100
  static let mostOperators = 400

  let tokens: [TemplateToken]
  var i = 0
  var depth = 0
  /// Operators in the tag being read.
  var operators = 0

  static func parse(_ source: String) throws(ChatTemplate.Failure) -> [TemplateStatement] {
    var parser = TemplateParser(tokens: try TemplateLexer.tokens(of: source))
    let statements = try parser.statements(until: [])
    return statements.body
  }

  private init(tokens: [TemplateToken]) { self.tokens = tokens }

  // The lexer always ends with .end, and nothing advances past it.
  var current: TemplateToken { tokens[min(i, tokens.count - 1)] }
  var position: TemplatePosition { current.position }

  func isSign(_ sign: String) -> Bool { current.kind == .sign(sign) }
  func isName(_ name: String) -> Bool { current.kind == .name(name) }

  mutating func advance() { i += 1 }

  mutating func take(_ sign: String) -> Bool {
    if isSign(sign) {
      advance()
      return true
    }
    return false
  }

  mutating func takeName(_ name: String) -> Bool {
    if isName(name) {
      advance()
      return true
    }
    return false
  }

  mutating func expect(_ sign: String) throws(ChatTemplate.Failure) {
    if !take(sign) { throw position.failure(.syntax, "expected '\(sign)'") }
  }

  mutating func identifier() throws(ChatTemplate.Failure) -> String {
    guard case .name(let name) = current.kind else {
      throw position.failure(.syntax, "expected a name")
    }
    advance()
    return name
  }

  mutating func endBlock() throws(ChatTemplate.Failure) {
    guard current.kind == .blockEnd else {
      throw position.failure(.syntax, "expected the end of the tag")
    }
    advance()
  }

  mutating func nested<Result>(
    _ body: (inout TemplateParser) throws(ChatTemplate.Failure) -> Result
  ) throws(ChatTemplate.Failure) -> Result {
    depth += 1
    defer { depth -= 1 }
    if depth > Self.deepestNesting {
      throw position.failure(.limit, "more than \(Self.deepestNesting) levels of nesting")
    }
    return try body(&self)
  }

  /// Statements up to a block tag that begins with one of `ends`; the tag's name is consumed.
  mutating func statements(
    until ends: Set<String>
  ) throws(ChatTemplate.Failure) -> (body: [TemplateStatement], end: String) {
    try nested { parser throws(ChatTemplate.Failure) in
      var body: [TemplateStatement] = []
      let opening = parser.position
      while true {
        let token = parser.current
        parser.operators = 0
        switch token.kind {
        case .end:
          if ends.isEmpty { return (body, "") }
          throw opening.failure(.syntax, "expected \(ends.sorted().joined(separator: " or "))")
        case .text(let text):
          parser.advance()
          body.append(.text(text))
        case .outputBegin:
          parser.advance()
          let value = try parser.tupleExpression()
          guard parser.current.kind == .outputEnd else {
            throw parser.position.failure(.syntax, "expected '}}'")
          }
          parser.advance()
          body.append(.output(value, token.position))
        case .blockBegin:
          parser.advance()
          let name = try parser.identifier()
          if ends.contains(name) { return (body, name) }
          body.append(contentsOf: try parser.statement(name, token.position))
        default: throw token.position.failure(.syntax, "expected text or a tag")
        }
      }
    }
  }

  private mutating func statement(
    _ name: String, _ position: TemplatePosition
  ) throws(ChatTemplate.Failure) -> [TemplateStatement] {
    switch name {
    case "if": return [try conditional()]
    case "for": return [try loop(position)]
    case "set": return [try set(position)]
    case "macro": return [try macro(position)]
    case "filter":
      let filters = try filterChain(nil)
      try endBlock()
      let body = try statements(until: ["endfilter"]).body
      try endBlock()
      return [.filterBlock(filters, body, position)]
    case "generation", "with":
      let sets = name == "with" ? try withAssignments(position) : []
      try endBlock()
      let body = try statements(until: ["end\(name)"]).body
      try endBlock()
      return [.scope(sets + body)]
    case "do":
      let value = try expression()
      try endBlock()
      return [.perform(value, position)]
    case "break":
      try endBlock()
      return [.leaveLoop]
    case "continue":
      try endBlock()
      return [.nextIteration]
    default: throw position.failure(.unsupported, "the tag '\(name)' is not supported")
    }
  }

  private mutating func conditional() throws(ChatTemplate.Failure) -> TemplateStatement {
    var branches: [(TemplateExpression, [TemplateStatement])] = []
    while true {
      let condition = try tupleExpression()
      try endBlock()
      let part = try statements(until: ["elif", "else", "endif"])
      branches.append((condition, part.body))
      if part.end == "elif" { continue }
      try endBlock()
      if part.end == "endif" { return .conditional(branches, otherwise: []) }
      let otherwise = try statements(until: ["endif"]).body
      try endBlock()
      return .conditional(branches, otherwise: otherwise)
    }
  }

  private mutating func loop(
    _ position: TemplatePosition
  ) throws(ChatTemplate.Failure) -> TemplateStatement {
    let targets = try targetNames()
    guard takeName("in") else { throw self.position.failure(.syntax, "expected 'in'") }
    let sequence = try tupleExpression(conditional: false)
    let condition = takeName("if") ? try expression() : nil
    if isName("recursive") {
      throw self.position.failure(.unsupported, "recursive loops are not supported")
    }
    try endBlock()
    let part = try statements(until: ["else", "endfor"])
    try endBlock()
    var otherwise: [TemplateStatement] = []
    if part.end == "else" {
      otherwise = try statements(until: ["endfor"]).body
      try endBlock()
    }
    return .loop(
      TemplateStatement.Loop(
        targets: targets.names, isTuple: targets.isTuple, sequence: sequence, condition: condition,
        body: part.body, otherwise: otherwise), position)
  }

  private mutating func targetNames() throws(ChatTemplate.Failure) -> (
    names: [String], isTuple: Bool
  ) {
    let bracketed = take("(")
    var names = [try identifier()]
    var isTuple = false
    while take(",") {
      isTuple = true
      guard case .name(let name) = current.kind, name != "in" else { break }
      names.append(try identifier())
    }
    if bracketed { try expect(")") }
    return (names, isTuple)
  }

  private mutating func set(
    _ position: TemplatePosition
  ) throws(ChatTemplate.Failure) -> TemplateStatement {
    let name = try identifier()
    let target: TemplateStatement.Target
    if take(".") {
      target = .attribute(of: name, try identifier())
    } else {
      var names = [name]
      while take(",") { names.append(try identifier()) }
      target = .names(names)
    }
    if take("=") {
      let value = try tupleExpression()
      try endBlock()
      return .set(target, value, position)
    }
    let filters = isSign("|") ? try filterChainAfterBar(nil) : nil
    try endBlock()
    let body = try statements(until: ["endset"]).body
    try endBlock()
    return .setBlock(target, filters: filters, body, position)
  }

  private mutating func withAssignments(
    _ position: TemplatePosition
  ) throws(ChatTemplate.Failure) -> [TemplateStatement] {
    var sets: [TemplateStatement] = []
    while case .name(let name) = current.kind {
      advance()
      try expect("=")
      sets.append(.set(.names([name]), try expression(), position))
      if !take(",") { break }
    }
    return sets
  }

  private mutating func macro(
    _ position: TemplatePosition
  ) throws(ChatTemplate.Failure) -> TemplateStatement {
    let name = try identifier()
    try expect("(")
    var parameters: [(name: String, defaultValue: TemplateExpression?)] = []
    while !isSign(")") {
      let parameter = try identifier()
      parameters.append((parameter, take("=") ? try expression() : nil))
      if !take(",") { break }
    }
    try expect(")")
    try endBlock()
    let body = try statements(until: ["endmacro"]).body
    // Jinja allows the macro's name after endmacro.
    if case .name = current.kind { advance() }
    try endBlock()
    return .macro(
      TemplateStatement.Macro(name: name, parameters: parameters, body: body), position)
  }
}
