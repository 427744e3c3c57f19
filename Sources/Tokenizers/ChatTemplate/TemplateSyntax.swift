/// An expression of a template, with its place in the source.
indirect enum TemplateExpression: Sendable {
  enum UnaryOperator: Sendable { case minus, plus, not }

  enum BinaryOperator: Sendable {
    case add, subtract, multiply, divide, floorDivide, modulo, power, concatenate, and, or
  }

  enum Comparison: Sendable {
    case equal, unequal, less, lessOrEqual, greater, greaterOrEqual, contained, notContained
  }

  struct Arguments: Sendable {
    var positional: [TemplateExpression] = []
    var named: [(String, TemplateExpression)] = []
  }

  case literal(TemplateLiteral)
  case name(String, TemplatePosition)
  case list([TemplateExpression], isTuple: Bool, TemplatePosition)
  case dictionary([(TemplateExpression, TemplateExpression)], TemplatePosition)
  case unary(UnaryOperator, TemplateExpression, TemplatePosition)
  case binary(BinaryOperator, TemplateExpression, TemplateExpression, TemplatePosition)
  case comparison(TemplateExpression, [(Comparison, TemplateExpression)], TemplatePosition)
  case conditional(TemplateExpression, TemplateExpression, TemplateExpression?, TemplatePosition)
  case attribute(TemplateExpression, String, TemplatePosition)
  case item(TemplateExpression, TemplateExpression, TemplatePosition)
  case slice(
    TemplateExpression, TemplateExpression?, TemplateExpression?, TemplateExpression?,
    TemplatePosition)
  case call(TemplateExpression, Arguments, TemplatePosition)
  /// The operand is nil in a filter block, where it is the block's text.
  case filter(TemplateExpression?, String, Arguments, TemplatePosition)
  case test(TemplateExpression, String, Arguments, negated: Bool, TemplatePosition)
}

/// A value written in the template itself.
enum TemplateLiteral: Sendable {
  case null
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case string(String)
}

/// A statement of a template.
indirect enum TemplateStatement: Sendable {
  struct Loop: Sendable {
    var targets: [String]
    var isTuple: Bool
    var sequence: TemplateExpression
    var condition: TemplateExpression?
    var body: [TemplateStatement]
    var otherwise: [TemplateStatement]
  }

  struct Macro: Sendable {
    var name: String
    var parameters: [(name: String, defaultValue: TemplateExpression?)]
    var body: [TemplateStatement]
  }

  enum Target: Sendable {
    case names([String])
    case attribute(of: String, String)
  }

  case text(String)
  case output(TemplateExpression, TemplatePosition)
  case conditional([(TemplateExpression, [TemplateStatement])], otherwise: [TemplateStatement])
  case loop(Loop, TemplatePosition)
  case set(Target, TemplateExpression, TemplatePosition)
  case setBlock(Target, filters: TemplateExpression?, [TemplateStatement], TemplatePosition)
  case macro(Macro, TemplatePosition)
  case filterBlock(TemplateExpression, [TemplateStatement], TemplatePosition)
  case scope([TemplateStatement])
  case perform(TemplateExpression, TemplatePosition)
  case leaveLoop
  case nextIteration
}
