/// Runs a template's statements; counts what it spends.
struct TemplateEvaluator {
  typealias Failure = ChatTemplate.Failure

  enum Flow { case normal, leaveLoop, nextIteration }

  /// Evaluations inside each other: statements, expressions and macro calls.
  static let deepestEvaluation = 500

  let limits: ChatTemplate.Limits
  let time: Int?
  private var steps = 0
  private var work = 0
  private var depth = 0
  /// Everything that could be part of a cycle of references, to be taken apart at the end.
  private var lists: [TemplateValue.List] = []
  private var dictionaries: [TemplateValue.Dictionary] = []
  private var scopes: [TemplateScope] = []

  init(limits: ChatTemplate.Limits, time: Int?) {
    self.limits = limits
    self.time = time
  }

  mutating func render(
    _ statements: [TemplateStatement], _ values: [JSON.Member], _ trusted: [String: String]
  ) throws(Failure) -> TemplateText {
    defer { takeApart() }
    let globals = TemplateScope(parent: nil)
    for name in ["range", "namespace", "dict", "raise_exception", "strftime_now"] {
      globals.set(name, .function(name))
    }
    for (name, text) in trusted { globals.set(name, .text(text)) }
    for member in values { globals.set(member.name, TemplateValue(user: member.value)) }
    var output = TemplateText()
    _ = try run(statements, TemplateScope(parent: globals), &output)
    return output
  }

  private mutating func takeApart() {
    for list in lists { list.items = [] }
    for dictionary in dictionaries { dictionary.removeAll() }
    for scope in scopes { scope.removeAll() }
  }

  // MARK: Spending

  mutating func step(_ position: TemplatePosition) throws(Failure) { try step(1, position) }

  mutating func step(_ count: Int, _ position: TemplatePosition) throws(Failure) {
    steps += count
    if steps > limits.steps {
      throw position.failure(.limit, "the template takes more than \(limits.steps) steps")
    }
  }

  mutating func spend(_ characters: Int, _ position: TemplatePosition) throws(Failure) {
    work += characters
    if characters > limits.characters || work > limits.work {
      throw position.failure(.limit, "the template makes more text than its limits allow")
    }
  }

  mutating func made(_ text: TemplateText, _ position: TemplatePosition) throws(Failure)
    -> TemplateValue
  {
    try spend(text.count, position)
    return .string(text)
  }

  mutating func newList(_ items: [TemplateValue], isTuple: Bool = false) -> TemplateValue {
    steps += items.count / 8
    return .list(TemplateValue.List(items, isTuple: isTuple))
  }

  /// Puts a value into a list, noting that this may close a cycle.
  mutating func insert(_ value: TemplateValue, into list: TemplateValue.List, at place: Int) {
    if value.isReference { lists.append(list) }
    list.items.insert(value, at: place)
  }

  /// Sets a member, noting that this may close a cycle.
  mutating func set(
    _ key: TemplateValue.Key, _ value: TemplateValue, in dictionary: TemplateValue.Dictionary
  ) {
    if value.isReference { dictionaries.append(dictionary) }
    dictionary.set(key, value)
  }

  mutating func nested<Result>(
    _ position: TemplatePosition,
    _ body: (inout TemplateEvaluator) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    depth += 1
    defer { depth -= 1 }
    if depth > Self.deepestEvaluation {
      throw position.failure(.limit, "more than \(Self.deepestEvaluation) levels of evaluation")
    }
    try step(position)
    return try body(&self)
  }

  // MARK: Statements

  mutating func run(
    _ statements: [TemplateStatement], _ scope: TemplateScope, _ output: inout TemplateText
  ) throws(Failure) -> Flow {
    for statement in statements {
      let flow = try run(statement, scope, &output)
      if flow != .normal { return flow }
    }
    return .normal
  }

  private mutating func run(
    _ statement: TemplateStatement, _ scope: TemplateScope, _ output: inout TemplateText
  ) throws(Failure) -> Flow {
    switch statement {
    case .text(let text):
      try write(TemplateText(text), TemplatePosition(), &output)
    case .output(let expression, let position):
      let value = try evaluate(expression, scope)
      try write(try string(value, position), position, &output)
    case .conditional(let branches, let otherwise):
      for (condition, body) in branches where try evaluate(condition, scope).isTrue {
        return try runInside(body, scope, &output)
      }
      return try runInside(otherwise, scope, &output)
    case .loop(let loop, let position):
      try runLoop(loop, position, scope, &output)
    case .set(let target, let expression, let position):
      try assign(target, try evaluate(expression, scope), position, scope)
    case .setBlock(let target, let filters, let body, let position):
      var text = TemplateText()
      let flow = try runInside(body, TemplateScope(parent: scope), &text)
      var value = TemplateValue.string(text)
      if let filters { value = try apply(filters, to: value, scope) }
      try assign(target, value, position, scope)
      return flow
    case .macro(let definition, _):
      scopes.append(scope)
      scope.set(definition.name, .macro(TemplateValue.Macro(definition, scope)))
    case .filterBlock(let filters, let body, let position):
      var text = TemplateText()
      let flow = try runInside(body, TemplateScope(parent: scope), &text)
      let value = try apply(filters, to: .string(text), scope)
      try write(try string(value, position), position, &output)
      return flow
    case .scope(let body): return try runInside(body, TemplateScope(parent: scope), &output)
    case .perform(let expression, _): _ = try evaluate(expression, scope)
    case .leaveLoop: return .leaveLoop
    case .nextIteration: return .nextIteration
    }
    return .normal
  }

  private mutating func runInside(
    _ body: [TemplateStatement], _ scope: TemplateScope, _ output: inout TemplateText
  ) throws(Failure) -> Flow {
    // A borrowed buffer cannot be captured: run into it by hand, counting the level.
    depth += 1
    defer { depth -= 1 }
    if depth > Self.deepestEvaluation {
      throw TemplatePosition().failure(
        .limit, "more than \(Self.deepestEvaluation) levels of evaluation")
    }
    return try run(body, scope, &output)
  }

  private mutating func write(
    _ text: TemplateText, _ position: TemplatePosition, _ output: inout TemplateText
  ) throws(Failure) {
    try step(position)
    try spend(text.count, position)
    output.append(text)
    if output.count > limits.characters {
      throw position.failure(.limit, "the text exceeds \(limits.characters) characters")
    }
  }

  private mutating func runLoop(
    _ statement: TemplateStatement.Loop, _ position: TemplatePosition, _ scope: TemplateScope,
    _ output: inout TemplateText
  ) throws(Failure) {
    var items = try elements(try evaluate(statement.sequence, scope), position)
    if let condition = statement.condition {
      var kept: [TemplateValue] = []
      for item in items {
        let inner = TemplateScope(parent: scope)
        try bind(statement.targets, isTuple: statement.isTuple, item, position, inner)
        if try evaluate(condition, inner).isTrue { kept.append(item) }
      }
      items = kept
    }
    if items.isEmpty {
      _ = try runInside(statement.otherwise, scope, &output)
      return
    }
    let loop = TemplateValue.Loop(items)
    for (index, item) in items.enumerated() {
      try step(position)
      loop.index = index
      let inner = TemplateScope(parent: scope)
      inner.set("loop", .loop(loop))
      try bind(statement.targets, isTuple: statement.isTuple, item, position, inner)
      if try runInside(statement.body, inner, &output) == .leaveLoop { return }
    }
  }

  private mutating func bind(
    _ names: [String], isTuple: Bool, _ value: TemplateValue, _ position: TemplatePosition,
    _ scope: TemplateScope
  ) throws(Failure) {
    guard isTuple else {
      scope.set(names[0], value)
      return
    }
    let parts = try elements(value, position)
    guard parts.count == names.count else {
      throw position.failure(.type, "\(parts.count) values for \(names.count) names")
    }
    for (name, part) in zip(names, parts) { scope.set(name, part) }
  }

  private mutating func assign(
    _ target: TemplateStatement.Target, _ value: TemplateValue, _ position: TemplatePosition,
    _ scope: TemplateScope
  ) throws(Failure) {
    try step(position)
    switch target {
    case .names(let names):
      try bind(names, isTuple: names.count > 1, value, position, scope)
    case .attribute(let name, let attribute):
      guard case .namespace(let dictionary) = scope.find(name) else {
        throw position.failure(.type, "'\(name)' is not a namespace")
      }
      set(.string(TemplateText(attribute)), value, in: dictionary)
    }
  }

  /// Runs a macro's body with its arguments.
  mutating func call(
    _ macro: TemplateValue.Macro, _ arguments: TemplateArguments, _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    let scope = TemplateScope(parent: macro.scope)
    let parameters = macro.definition.parameters
    if arguments.positional.count > parameters.count {
      throw position.failure(
        .type, "macro '\(macro.definition.name)' takes \(parameters.count) arguments")
    }
    for (name, _) in arguments.named where !parameters.contains(where: { $0.name == name }) {
      throw position.failure(
        .type, "macro '\(macro.definition.name)' has no parameter '\(name)'")
    }
    for (i, parameter) in parameters.enumerated() {
      if i < arguments.positional.count {
        scope.set(parameter.name, arguments.positional[i])
      } else if let value = arguments.named[parameter.name] {
        scope.set(parameter.name, value)
      } else if let expression = parameter.defaultValue {
        scope.set(parameter.name, try evaluate(expression, scope))
      } else {
        scope.set(parameter.name, .undefined(parameter.name))
      }
    }
    var text = TemplateText()
    _ = try runInside(macro.definition.body, scope, &text)
    return .string(text)
  }
}

/// Evaluated arguments of a call, filter or test.
struct TemplateArguments {
  var positional: [TemplateValue] = []
  var named: [String: TemplateValue] = [:]

  /// The argument at a place or by name.
  func value(_ index: Int, _ name: String) -> TemplateValue? {
    index < positional.count ? positional[index] : named[name]
  }

  func integer(_ index: Int, _ name: String) -> Int? { value(index, name)?.integer }

  func isTrue(_ index: Int, _ name: String) -> Bool { value(index, name)?.isTrue ?? false }

  func text(_ index: Int, _ name: String) -> TemplateText? {
    if case .string(let text) = value(index, name) { text } else { nil }
  }
}
