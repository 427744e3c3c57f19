extension TemplateParser {
  /// One expression, or several with commas between, which make a list.
  mutating func tupleExpression(
    conditional: Bool = true
  ) throws(ChatTemplate.Failure) -> TemplateExpression {
    let start = position
    let first = try expression(conditional: conditional)
    guard isSign(",") else { return first }
    var items = [first]
    while take(",") {
      switch current.kind {
      case .blockEnd, .outputEnd: break
      default: items.append(try expression(conditional: conditional))
      }
    }
    return .list(items, isTuple: true, start)
  }

  mutating func expression(
    conditional: Bool = true
  ) throws(ChatTemplate.Failure) -> TemplateExpression {
    try nested { parser throws(ChatTemplate.Failure) in
      var value = try parser.disjunction()
      while conditional, parser.isName("if") {
        let start = parser.position
        parser.advance()
        let condition = try parser.disjunction()
        let otherwise = parser.takeName("else") ? try parser.expression() : nil
        value = .conditional(condition, value, otherwise, start)
      }
      return value
    }
  }

  private mutating func disjunction() throws(ChatTemplate.Failure) -> TemplateExpression {
    var left = try conjunction()
    while isName("or") {
      let start = position
      advance()
      left = .binary(.or, left, try conjunction(), start)
      try countOperator()
    }
    return left
  }

  private mutating func conjunction() throws(ChatTemplate.Failure) -> TemplateExpression {
    var left = try negation()
    while isName("and") {
      let start = position
      advance()
      left = .binary(.and, left, try negation(), start)
      try countOperator()
    }
    return left
  }

  private mutating func negation() throws(ChatTemplate.Failure) -> TemplateExpression {
    let start = position
    if takeName("not") {
      return try nested { parser throws(ChatTemplate.Failure) in
        .unary(.not, try parser.negation(), start)
      }
    }
    return try comparison()
  }

  private mutating func comparison() throws(ChatTemplate.Failure) -> TemplateExpression {
    let start = position
    let first = try sum()
    var rest: [(TemplateExpression.Comparison, TemplateExpression)] = []
    let signs: [String: TemplateExpression.Comparison] = [
      "==": .equal, "!=": .unequal, "<": .less, "<=": .lessOrEqual, ">": .greater,
      ">=": .greaterOrEqual,
    ]
    while true {
      if case .sign(let sign) = current.kind, let comparison = signs[sign] {
        advance()
        rest.append((comparison, try sum()))
      } else if takeName("in") {
        rest.append((.contained, try sum()))
      } else if isName("not"), i + 1 < tokens.count, tokens[i + 1].kind == .name("in") {
        advance()
        advance()
        rest.append((.notContained, try sum()))
      } else {
        return rest.isEmpty ? first : .comparison(first, rest, start)
      }
    }
  }

  private mutating func sum() throws(ChatTemplate.Failure) -> TemplateExpression {
    var left = try concatenation()
    while isSign("+") || isSign("-") {
      let start = position
      let operation: TemplateExpression.BinaryOperator = isSign("+") ? .add : .subtract
      advance()
      left = .binary(operation, left, try concatenation(), start)
      try countOperator()
    }
    return left
  }

  private mutating func concatenation() throws(ChatTemplate.Failure) -> TemplateExpression {
    var left = try product()
    while isSign("~") {
      let start = position
      advance()
      left = .binary(.concatenate, left, try product(), start)
      try countOperator()
    }
    return left
  }

  private mutating func product() throws(ChatTemplate.Failure) -> TemplateExpression {
    let signs: [String: TemplateExpression.BinaryOperator] = [
      "*": .multiply, "/": .divide, "//": .floorDivide, "%": .modulo,
    ]
    var left = try power()
    while case .sign(let sign) = current.kind, let operation = signs[sign] {
      let start = position
      advance()
      left = .binary(operation, left, try power(), start)
      try countOperator()
    }
    return left
  }

  private mutating func power() throws(ChatTemplate.Failure) -> TemplateExpression {
    var left = try unary(withFilters: true)
    while isSign("**") {
      let start = position
      advance()
      left = .binary(.power, left, try unary(withFilters: true), start)
      try countOperator()
    }
    return left
  }

  private mutating func unary(
    withFilters: Bool
  ) throws(ChatTemplate.Failure) -> TemplateExpression {
    let start = position
    var value: TemplateExpression
    if isSign("-") || isSign("+") {
      let operation: TemplateExpression.UnaryOperator = isSign("-") ? .minus : .plus
      advance()
      value = try nested { parser throws(ChatTemplate.Failure) in
        .unary(operation, try parser.unary(withFilters: false), start)
      }
    } else {
      value = try postfix(try primary())
    }
    return withFilters ? try filtersAndTests(value) : value
  }

  private mutating func primary() throws(ChatTemplate.Failure) -> TemplateExpression {
    let token = current
    advance()
    switch token.kind {
    case .name("true"), .name("True"): return .literal(.bool(true))
    case .name("false"), .name("False"): return .literal(.bool(false))
    case .name("none"), .name("None"): return .literal(.null)
    case .name(let name): return .name(name, token.position)
    case .integer(let value): return .literal(.integer(value))
    case .number(let value): return .literal(.number(value))
    case .string(var text):
      while case .string(let more) = current.kind {
        text += more
        advance()
      }
      return .literal(.string(text))
    case .sign("("):
      if take(")") { return .list([], isTuple: true, token.position) }
      let first = try expression()
      guard isSign(",") else {
        try expect(")")
        return first
      }
      var items = [first]
      while take(","), !isSign(")") { items.append(try expression()) }
      try expect(")")
      return .list(items, isTuple: true, token.position)
    case .sign("["):
      var items: [TemplateExpression] = []
      while !isSign("]") {
        items.append(try expression())
        if !take(",") { break }
      }
      try expect("]")
      return .list(items, isTuple: false, token.position)
    case .sign("{"):
      var items: [(TemplateExpression, TemplateExpression)] = []
      while !isSign("}") {
        let key = try expression()
        try expect(":")
        items.append((key, try expression()))
        if !take(",") { break }
      }
      try expect("}")
      return .dictionary(items, token.position)
    default: throw token.position.failure(.syntax, "expected an expression")
    }
  }

  private mutating func postfix(
    _ operand: TemplateExpression
  ) throws(ChatTemplate.Failure) -> TemplateExpression {
    var value = operand
    while true {
      let start = position
      if take(".") {
        if case .integer(let index) = current.kind {
          advance()
          value = .item(value, .literal(.integer(index)), start)
        } else {
          value = .attribute(value, try identifier(), start)
        }
      } else if take("[") {
        value = try subscripted(value, start)
      } else if isSign("(") {
        value = .call(value, try arguments(), start)
      } else {
        return value
      }
      try countOperator()
    }
  }

  private mutating func subscripted(
    _ value: TemplateExpression, _ start: TemplatePosition
  ) throws(ChatTemplate.Failure) -> TemplateExpression {
    func bound(_ parser: inout TemplateParser) throws(ChatTemplate.Failure) -> TemplateExpression? {
      parser.isSign(":") || parser.isSign("]") ? nil : try parser.expression()
    }
    let low = try bound(&self)
    if let low, take("]") { return .item(value, low, start) }
    try expect(":")
    let high = try bound(&self)
    let step = take(":") ? try bound(&self) : nil
    try expect("]")
    return .slice(value, low, high, step, start)
  }

  private mutating func arguments() throws(ChatTemplate.Failure) -> TemplateExpression.Arguments {
    try expect("(")
    var result = TemplateExpression.Arguments()
    while !isSign(")") {
      if case .name(let name) = current.kind, i + 1 < tokens.count,
        tokens[i + 1].kind == .sign("=")
      {
        advance()
        advance()
        result.named.append((name, try expression()))
      } else if isSign("*") || isSign("**") {
        throw position.failure(.unsupported, "argument lists cannot be spread")
      } else {
        result.positional.append(try expression())
      }
      if !take(",") { break }
    }
    try expect(")")
    return result
  }

  private mutating func filtersAndTests(
    _ operand: TemplateExpression
  ) throws(ChatTemplate.Failure) -> TemplateExpression {
    var value = operand
    while true {
      if isSign("|") {
        value = try filterChainAfterBar(value)
      } else if isName("is") {
        value = try test(value)
      } else if isSign("(") {
        let start = position
        value = .call(value, try arguments(), start)
      } else {
        return value
      }
      try countOperator()
    }
  }

  /// `name(arguments) | name …`, applied to `operand`.
  mutating func filterChain(
    _ operand: TemplateExpression?
  ) throws(ChatTemplate.Failure) -> TemplateExpression {
    let start = position
    var name = try identifier()
    while take(".") { name += "." + (try identifier()) }
    let given = isSign("(") ? try arguments() : TemplateExpression.Arguments()
    let value = TemplateExpression.filter(operand, name, given, start)
    try countOperator()
    return isSign("|") ? try filterChainAfterBar(value) : value
  }

  mutating func filterChainAfterBar(
    _ operand: TemplateExpression?
  ) throws(ChatTemplate.Failure) -> TemplateExpression {
    try expect("|")
    return try nested { parser throws(ChatTemplate.Failure) in try parser.filterChain(operand) }
  }

  private mutating func test(
    _ operand: TemplateExpression
  ) throws(ChatTemplate.Failure) -> TemplateExpression {
    let start = position
    advance()
    let negated = takeName("not")
    let name = try identifier()
    var given = TemplateExpression.Arguments()
    if isSign("(") {
      given = try arguments()
    } else {
      switch current.kind {
      case .name("else"), .name("or"), .name("and"), .name("is"), .name("if"), .name("in"),
        .name("not"), .name("recursive"):
        break
      case .name, .integer, .number, .string, .sign("["), .sign("{"):
        given.positional = [try postfix(try primary())]
      default: break
      }
    }
    return .test(operand, name, given, negated: negated, start)
  }

  /// Chains such as `a + b + c` nest to the left without recursion here, but who walks the tree
  /// recurses over them; so their number is bounded too, in each tag.
  private mutating func countOperator() throws(ChatTemplate.Failure) {
    operators += 1
    if operators > Self.mostOperators {
      throw position.failure(.limit, "more than \(Self.mostOperators) operators in one tag")
    }
  }
}
