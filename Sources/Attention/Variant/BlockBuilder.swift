internal import CMicrokernels

/// Lowers expressions to the steps of a block program.
struct BlockBuilder {
  typealias Operand = VirtualStep.Operand

  /// Along which axes of a block a value changes.
  private struct Variation: OptionSet {
    let rawValue: Int
    /// From token to token of vectors, from row to row of scores.
    static let token = Variation(rawValue: 1)
    /// From dimension to dimension of vectors, from key to key of scores.
    static let across = Variation(rawValue: 2)
    /// It comes from the block, or otherwise changes along both.
    static let block = Variation(rawValue: 4)
  }

  let layout: BlockProgram.Layout
  var block: [VirtualStep] = []
  var column: [VirtualStep] = []
  var columnCount = 0
  var tokens = ScalarProgram()
  var dimensions: [Expression] = []
  var externals: [BlockProgram.External] = []
  var pointers: [BlockProgram.Pointer] = []
  var facts = TileFacts()
  private var registers = 0
  private var known: [Expression: Operand]
  private var uses: [Expression: Int] = [:]
  private var variations: [Expression: Variation] = [:]

  init(_ layout: BlockProgram.Layout, roots: [Expression]) {
    self.layout = layout
    known = layout == .scores ? [.score: .block] : [.element(.own): .block]
    var seen: Set<Expression> = []
    func count(_ expression: Expression) {
      uses[expression, default: 0] += 1
      if seen.insert(expression).inserted { expression.children.forEach(count) }
    }
    roots.forEach(count)
  }

  /// Makes the block an expression's value.
  mutating func write(_ expression: Expression) {
    let operand = lower(expression)
    // The step that made the value writes it over the block, unless others read it too.
    if case .register(let r) = operand, uses[expression, default: 0] <= 1,
      let last = block.indices.last,
      block[last].target == r
    {
      block[last].target = nil
    } else if operand != .block {
      block.append(VirtualStep(op: SWA_TILE_COPY, target: nil, operands: [operand]))
    }
  }

  /// Makes values that depend on token and dimension external blocks, in this order; false where that
  /// is not what they are.
  mutating func fill(externals values: [Expression]) -> Bool {
    let operands = values.map { lower($0) }
    return operands == values.indices.map { .external($0) } && block.isEmpty
  }

  /// Puts an expression's value into a register of its own, which is returned.
  mutating func keep(_ expression: Expression) -> Int {
    let operand = lower(expression)
    block.append(VirtualStep(op: SWA_TILE_COPY, target: registers, operands: [operand]))
    registers += 1
    return registers - 1
  }

  /// Masks the block where a condition fails.
  mutating func mask(_ condition: Expression) {
    if case .bit(let number) = condition {
      block.append(
        VirtualStep(
          op: SWA_TILE_MASK_BITS, target: nil, operands: [.row(pointer(.mask(number)))]))
      return
    }
    let fused: [Expression.Binary: swa_tile_op] = [
      .less: SWA_TILE_MASK_LESS, .lessOrEqual: SWA_TILE_MASK_LESS_OR_EQUAL,
      .equal: SWA_TILE_MASK_EQUAL,
    ]
    if case .binary(let f, let a, let b) = condition, let op = fused[f], known[condition] == nil,
      variation(condition).contains(.across) || variation(condition).contains(.block)
    {
      block.append(VirtualStep(op: op, target: nil, operands: [lower(a), lower(b)]))
    } else {
      block.append(VirtualStep(op: SWA_TILE_MASK, target: nil, operands: [lower(condition)]))
    }
  }

  /// The tree with scores divided by what is constant along a row multiplied by its inverse.
  ///
  /// It differs in the last place; where exactness decides, in positions, division stays.
  func reciprocals(in expression: Expression) -> Expression {
    switch expression {
    case .binary(.divide, let a, let b)
    where a.contains({ $0 == .score }) && variation(of: b).isSubset(of: .token):
      .make(.multiply, reciprocals(in: a), .make(.divide, .constant(1), b))
    case .unary(let f, let a) where f != .floor && f != .not: .make(f, reciprocals(in: a))
    case .binary(let f, let a, let b) where ![.less, .lessOrEqual, .equal].contains(f):
      .make(f, reciprocals(in: a), reciprocals(in: b))
    case .select(let c, let a, let b):
      .makeSelect(c, reciprocals(in: a), reciprocals(in: b))
    default: expression
    }
  }

  // MARK: Where a value changes

  private func variation(of expression: Expression) -> Variation {
    var all = leafVariation(expression)
    for child in expression.children { all.formUnion(variation(of: child)) }
    return all
  }

  private mutating func variation(_ expression: Expression) -> Variation {
    if let cached = variations[expression] { return cached }
    let result = variation(of: expression)
    variations[expression] = result
    return result
  }

  private func leafVariation(_ leaf: Expression) -> Variation {
    switch (layout, leaf) {
    case (_, .score), (_, .element), (_, .bit): .block
    case (.scores, .tensor(_, .key)): .block
    case (.scores, .position(.kv)): .across
    case (.panel, .position(.dimension)), (.rows, .position(.dimension)): .across
    case (_, .tensor(_, .only)): .across
    case (_, .position(.dimensionCount)): []
    case (_, .position), (_, .perHead), (_, .tensor): .token
    default: []
    }
  }

  // MARK: Lowering

  private mutating func lower(_ expression: Expression) -> Operand {
    if let operand = known[expression] { return operand }
    let operand = newOperand(expression)
    known[expression] = operand
    note(operand, expression)
    return operand
  }

  /// Notes what is known of the numbers of a row value or a column.
  private mutating func note(_ operand: Operand, _ expression: Expression) {
    switch operand {
    case .row(let j):
      if case .constant(let x) = expression { facts.constants[j] = Float(x) }
      if expression.isCount { facts.wholeRows.insert(j) }
    case .column(let c): if expression.isCount { facts.wholeColumns.insert(c) }
    default: break
    }
  }

  private mutating func newOperand(_ expression: Expression) -> Operand {
    let variation = variation(expression)
    if variation.isEmpty { return uniform(expression) }
    if variation == .token {
      let slot = tokens.output(expression)
      return layout == .panel ? .column(slot) : .row(slot)
    }
    if layout == .scores {
      return variation == .across ? columnVector(expression) : blockValue(expression)
    }
    if variation == .across {
      return layout == .panel ? .row(dimension(expression)) : .column(dimension(expression))
    }
    if !variation.contains(.block) {
      if let table = table(expression) { return table }
      if expression.contains({
        if case .unary(let f, _) = $0 { f == .sine || f == .cosine } else { false }
      }) {
        return external(.computed(expression))
      }
    }
    if case .element(let partner) = expression { return external(.partner(partner)) }
    return blockValue(expression)
  }

  /// A constant is a row value in every layout.
  private mutating func uniform(_ expression: Expression) -> Operand {
    layout == .panel ? .row(dimension(expression)) : .row(tokens.output(expression))
  }

  private mutating func dimension(_ expression: Expression) -> Int {
    if let i = dimensions.firstIndex(of: expression) { return i }
    dimensions.append(expression)
    return dimensions.count - 1
  }

  private mutating func external(_ source: BlockProgram.External) -> Operand {
    if let i = externals.firstIndex(of: source) { return .external(i) }
    externals.append(source)
    return .external(externals.count - 1)
  }

  private mutating func pointer(_ target: BlockProgram.Pointer) -> Int {
    if let i = pointers.firstIndex(of: target) { return i }
    pointers.append(target)
    return pointers.count - 1
  }

  /// The table of a function of the dimension and one whole number of the token, if it is one.
  private mutating func table(_ expression: Expression) -> Operand? {
    var candidates: [Expression] = []
    func collect(_ e: Expression) {
      if variation(of: e) == .token {
        if !candidates.contains(e) { candidates.append(e) }
      } else {
        e.children.forEach(collect)
      }
    }
    collect(expression)
    // Positions themselves are better than functions of them: one table serves every function.
    var positions: Set<Expression> = []
    func leaves(_ e: Expression) {
      if e.children.isEmpty && variation(of: e) == .token { positions.insert(e) }
      e.children.forEach(leaves)
    }
    leaves(expression)
    let index: Expression
    if positions.count == 1, let only = positions.first, only.isWholeNumber {
      index = only
    } else if candidates.count == 1, candidates[0].isWholeNumber {
      index = candidates[0]
    } else {
      return nil
    }
    let function = expression.replacing { $0 == index ? .position(.index) : nil }
    return external(.table(function: function, index: tokens.output(index), of: index))
  }

  private mutating func columnVector(_ expression: Expression) -> Operand {
    let (op, arguments) = operation(expression)
    // Within the columns' own program a column is a register.
    let operands = arguments.map { argument -> Operand in
      let operand = lower(argument)
      return if case .column(let c) = operand { .register(c) } else { operand }
    }
    let target = columnCount
    columnCount += 1
    column.append(VirtualStep(op: op, target: target, operands: operands))
    return .column(target)
  }

  private mutating func blockValue(_ expression: Expression) -> Operand {
    if let fused = product(in: expression) { return append(fused.op, fused.operands) }
    switch expression {
    case .tensor(let i, _): return append(SWA_TILE_LOAD, [.row(pointer(.tensor(i)))])
    case .bit(let i): return append(SWA_TILE_BITS, [.row(pointer(.mask(i)))])
    default:
      let (op, arguments) = operation(expression)
      return append(op, arguments.map { lower($0) })
    }
  }

  private mutating func append(_ op: swa_tile_op, _ operands: [Operand]) -> Operand {
    block.append(VirtualStep(op: op, target: registers, operands: operands))
    registers += 1
    return .register(registers - 1)
  }

  /// a·b + c and its kin, where nothing else needs the product.
  private mutating func product(in expression: Expression)
    -> (op: swa_tile_op, operands: [Operand])?
  {
    guard case .binary(let f, let a, let b) = expression, f == .add || f == .subtract else {
      return nil
    }
    func factors(_ e: Expression) -> (Expression, Expression)? {
      guard case .binary(.multiply, let x, let y) = e, known[e] == nil, uses[e, default: 0] <= 1,
        variation(of: e).contains(.block)
      else { return nil }
      return (x, y)
    }
    func step(_ op: swa_tile_op, _ factors: (Expression, Expression), _ term: Expression)
      -> (op: swa_tile_op, operands: [Operand])
    {
      (op, [lower(factors.0), lower(factors.1), lower(term)])
    }
    if let product = factors(a) {
      return step(f == .add ? SWA_TILE_MULTIPLY_ADD : SWA_TILE_MULTIPLY_SUBTRACT, product, b)
    }
    if let product = factors(b) {
      return step(f == .add ? SWA_TILE_MULTIPLY_ADD : SWA_TILE_SUBTRACT_PRODUCT, product, a)
    }
    return nil
  }

  private func operation(_ expression: Expression) -> (op: swa_tile_op, arguments: [Expression]) {
    switch expression {
    case .unary(let f, let a): (f.code, [a])
    case .binary(let f, let a, let b): (f.code, [a, b])
    case .select(let c, let a, let b): (SWA_TILE_SELECT, [c, a, b])
    default: (SWA_TILE_IOTA, [])
    }
  }
}

extension Expression {
  /// Whether the value is a whole number below 2^32 at every place, and never −0: a position, a
  /// constant, or a few of them counted together.
  fileprivate var isCount: Bool { (countBits ?? 32) < 32 }

  private var countBits: Int? {
    switch self {
    case .position: return 29
    case .constant(let x):
      return abs(x) < 0x1p29 && x == x.rounded() && !(x == 0 && x.sign == .minus) ? 29 : nil
    case .unary(.absolute, let a): return a.countBits
    case .binary(let f, let a, let b) where [.add, .subtract, .minimum, .maximum].contains(f):
      guard let x = a.countBits, let y = b.countBits else { return nil }
      return max(x, y) + 1
    default: return nil
    }
  }

  /// Whether the value is a whole number at every place.
  fileprivate var isWholeNumber: Bool {
    switch self {
    case .position: true
    case .constant(let x): x == x.rounded()
    case .unary(.floor, _): true
    case .unary(let f, let a): (f == .negate || f == .absolute || f == .not) && a.isWholeNumber
    case .binary(let f, let a, let b):
      f != .divide && f != .power && a.isWholeNumber && b.isWholeNumber
    case .select(_, let a, let b): a.isWholeNumber && b.isWholeNumber
    default: false
    }
  }
}

extension Expression.Unary {
  /// The kernel's number.
  fileprivate var code: swa_tile_op {
    switch self {
    case .negate: SWA_TILE_NEGATE
    case .absolute: SWA_TILE_ABSOLUTE
    case .exp: SWA_TILE_EXP
    case .log: SWA_TILE_LOG
    case .tanh: SWA_TILE_TANH
    case .sigmoid: SWA_TILE_SIGMOID
    case .squareRoot: SWA_TILE_SQUARE_ROOT
    case .floor: SWA_TILE_FLOOR
    case .not: SWA_TILE_NOT
    case .sine: SWA_TILE_SINE
    case .cosine: SWA_TILE_COSINE
    }
  }
}

extension Expression.Binary {
  /// The kernel's number.
  fileprivate var code: swa_tile_op {
    switch self {
    case .add: SWA_TILE_ADD
    case .subtract: SWA_TILE_SUBTRACT
    case .multiply: SWA_TILE_MULTIPLY
    case .divide: SWA_TILE_DIVIDE
    case .minimum: SWA_TILE_MINIMUM
    case .maximum: SWA_TILE_MAXIMUM
    case .less: SWA_TILE_LESS
    case .lessOrEqual: SWA_TILE_LESS_OR_EQUAL
    case .equal: SWA_TILE_EQUAL
    case .and: SWA_TILE_AND
    case .or: SWA_TILE_OR
    case .power: SWA_TILE_POWER
    }
  }
}
