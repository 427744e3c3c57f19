internal import CMicrokernels

extension VectorCode {
  /// A program's steps, or `nil` where one of them is left to the interpreter.
  ///
  /// - Parameter kept: Registers, from 1 on, that a run leaves in memory beside the block.
  init?(
    _ steps: [swa_tile_step], keeping kept: [Int], isOneVector: Bool, knowing facts: TileFacts
  ) {
    var lowering = StepLowering(facts)
    for step in steps { guard lowering.append(step) else { return nil } }
    self = lowering.finished(keeping: kept)
    removeUnused()
    loadShared(keepsColumns: isOneVector)
  }
}

/// Follows a program's registers from step to step.
private struct StepLowering {
  typealias Operand = VectorCode.Operand

  /// What a register holds: floats, or a condition that became no floats yet.
  private enum Value: Hashable {
    case floats(Operand)
    case condition(Int)
  }

  private let facts: TileFacts
  private var code = VectorCode()
  private var block = Value.floats(.source(.block))
  private var registers: [Int: Value] = [:]
  private var last = Value.floats(.source(.block))
  private var floats: [Int: Operand] = [:]
  private var conditions: [Operand: Int] = [:]
  /// The block as a mask that chooses between something else and the weight of what is masked.
  private var masking: (block: Value, mask: Int, of: Operand)?
  /// Values that are whole numbers, and no −0, with the bits that they have at most.
  private var wholeBits: [Operand: Int] = [:]

  init(_ facts: TileFacts) { self.facts = facts }

  // MARK: Steps

  mutating func append(_ step: swa_tile_step) -> Bool {
    guard let value = result(step) else { return false }
    last = value
    switch Int(step.target) {
    case Int(SWA_TILE_NOWHERE): break
    case 0: block = value
    case let r: registers[r] = value
    }
    return true
  }

  /// The code with stores at its end.
  mutating func finished(keeping kept: [Int]) -> VectorCode {
    var stores: [VectorCode.Operation] = []
    func store(_ register: Int, _ value: Value) {
      let operand = floats(value)
      if operand == .source(register == 0 ? .block : .register(register)) { return }
      stores.append(VectorCode.Operation(kind: .store(register), a: operand, group: -1 - register))
    }
    store(0, block)
    for register in kept { if let value = registers[register] { store(register, value) } }
    code.operations += stores
    return code
  }

  private func operand(_ operand: swa_tile_operand) -> Value {
    let index = Int(operand.index)
    return switch swa_tile_source(UInt32(operand.source)) {
    case SWA_TILE_REGISTER where index > 0: registers[index] ?? .floats(.source(.register(index)))
    case SWA_TILE_COLUMN: .floats(.source(.column(index)))
    case SWA_TILE_ROW:
      .floats(facts.constants[index].map { .float($0) } ?? .source(.row(index)))
    case SWA_TILE_EXTERNAL: .floats(.source(.external(index)))
    case SWA_TILE_LAST: last
    default: block
    }
  }

  private mutating func floats(_ value: Value) -> Operand {
    switch value {
    case .floats(let operand): return operand
    case .condition(let mask):
      if let known = floats[mask] { return known }
      let new = code.value(.keep, .float(1), mask: mask)
      floats[mask] = new
      return new
    }
  }

  /// Where a value is not 0.
  private mutating func condition(_ value: Value) -> Int {
    switch value {
    case .condition(let mask): return mask
    case .floats(let operand):
      if let known = conditions[operand] { return known }
      let new = code.mask(.compare(.notEqual), operand, .float(0))
      conditions[operand] = new
      return new
    }
  }

  private mutating func result(_ step: swa_tile_step) -> Value? {
    let op = swa_tile_op(UInt32(step.op))
    let a = operand(step.a)
    if let value = unary(op, a, pointer: Int(step.a.index)) { return value }
    if let value = binary(op, a, operand(step.b)) { return value }
    return ternary(op, a, operand(step.b), operand(step.c))
  }

  private mutating func unary(_ op: swa_tile_op, _ a: Value, pointer: Int) -> Value? {
    func x() -> Operand { floats(a) }
    func grouped(_ function: (inout VectorCode, Operand) -> Operand) -> Value {
      let x = x()
      return .floats(code.grouped { function(&$0, x) })
    }
    switch op {
    case SWA_TILE_NEGATE:
      return .floats(code.value(.binary(.exclusiveOr), x(), .bits(0x8000_0000)))
    case SWA_TILE_ABSOLUTE: return .floats(code.absolute(x()))
    case SWA_TILE_EXP: return grouped { $0.exp($1) }
    case SWA_TILE_LOG: return grouped { $0.log($1) }
    case SWA_TILE_TANH: return grouped { $0.tanh($1) }
    case SWA_TILE_SIGMOID: return grouped { $0.sigmoid($1) }
    case SWA_TILE_SQUARE_ROOT: return .floats(code.value(.unary(.squareRoot, nil), x()))
    // Down, without exceptions.
    case SWA_TILE_FLOOR: return .floats(code.value(.unary(.round, 9), x()))
    case SWA_TILE_COPY: return a
    case SWA_TILE_NOT:
      if case .condition(let mask) = a { return .condition(code.mask(.not, mask: mask)) }
      return .condition(code.mask(.compare(.equal), x(), .float(0)))
    case SWA_TILE_IOTA:
      let count = code.value(.count, .source(.lanes))
      wholeBits[count] = 32
      return .floats(count)
    case SWA_TILE_LOAD: return .floats(.source(.pointer(pointer)))
    case SWA_TILE_BITS: return .condition(code.mask(.bits(pointer)))
    case SWA_TILE_MASK_BITS: return masked(code.mask(.bits(pointer)))
    case SWA_TILE_MASK: return masked(condition(a))
    default: return nil
    }
  }

  private mutating func binary(_ op: swa_tile_op, _ a: Value, _ b: Value) -> Value? {
    func simple(_ instruction: VectorInstruction) -> Value {
      .floats(code.value(.binary(instruction), floats(a), floats(b)))
    }
    switch op {
    case SWA_TILE_ADD: return whole(simple(.add), of: a, b)
    case SWA_TILE_SUBTRACT: return whole(simple(.subtract), of: a, b)
    case SWA_TILE_MULTIPLY: return simple(.multiply)
    case SWA_TILE_DIVIDE: return quotient(floats(a), floats(b)) ?? simple(.divide)
    case SWA_TILE_MINIMUM: return whole(simple(.minimum), of: a, b)
    case SWA_TILE_MAXIMUM: return whole(simple(.maximum), of: a, b)
    case SWA_TILE_AND: return .condition(code.mask(.and, mask: condition(a), other: condition(b)))
    case SWA_TILE_OR: return .condition(code.mask(.or, mask: condition(a), other: condition(b)))
    case SWA_TILE_LESS: return .condition(code.mask(.compare(.less), floats(a), floats(b)))
    case SWA_TILE_LESS_OR_EQUAL:
      return .condition(code.mask(.compare(.lessOrEqual), floats(a), floats(b)))
    case SWA_TILE_EQUAL: return .condition(code.mask(.compare(.equal), floats(a), floats(b)))
    case SWA_TILE_MASK_LESS: return masked(.less, floats(a), floats(b))
    case SWA_TILE_MASK_LESS_OR_EQUAL: return masked(.lessOrEqual, floats(a), floats(b))
    case SWA_TILE_MASK_EQUAL: return masked(.equal, floats(a), floats(b))
    default: return nil
    }
  }

  private mutating func ternary(_ op: swa_tile_op, _ a: Value, _ b: Value, _ c: Value) -> Value? {
    switch op {
    case SWA_TILE_MULTIPLY_ADD: product(.add, a, b, c)
    case SWA_TILE_ADD_PRODUCT: product(.add, b, c, a)
    case SWA_TILE_MULTIPLY_SUBTRACT: product(.subtract, a, b, c)
    case SWA_TILE_SUBTRACT_PRODUCT: product(.negatedAdd, a, b, c)
    case SWA_TILE_SELECT: select(a, b, c)
    default: nil
    }
  }

  private mutating func product(
    _ kind: VectorInstruction.Product, _ a: Value, _ b: Value, _ c: Value
  ) -> Value {
    .floats(code.value(.product(kind), floats(a), floats(b), floats(c)))
  }

  private mutating func select(_ a: Value, _ b: Value, _ c: Value) -> Value {
    .floats(code.value(.blend, floats(b), floats(c), mask: condition(a)))
  }

  // MARK: Whole numbers

  /// The most bits of a value, if it is a whole number and no −0.
  private func bits(_ value: Value) -> Int? {
    guard case .floats(let operand) = value else { return 1 }
    switch operand {
    case .source(.row(let j)): return facts.wholeRows.contains(j) ? 32 : nil
    case .source(.column(let c)): return facts.wholeColumns.contains(c) ? 32 : nil
    case .source(.constant(let bits)):
      let number = Float(bitPattern: bits)
      let isWhole = abs(number) < 0x1p32 && number == number.rounded() && bits != 0x8000_0000
      return isWhole ? 32 : nil
    default: return wholeBits[operand]
    }
  }

  /// Notes that a sum, a difference or the smaller or larger of two whole numbers is one.
  private mutating func whole(_ result: Value, of a: Value, _ b: Value) -> Value {
    // Far from infinity.
    if let x = bits(a), let y = bits(b), max(x, y) < 60, case .floats(let operand) = result {
      wholeBits[operand] = max(x, y) + 1
    }
    return result
  }

  /// A whole number divided by a constant, without a division.
  private mutating func quotient(_ a: Operand, _ b: Operand) -> Value? {
    guard case .source(.constant(let bits)) = b, self.bits(.floats(a)) != nil,
      let inverse = TileFacts.Inverse(of: Float(bitPattern: bits))
    else { return nil }
    if inverse.low == 0 { return .floats(code.value(.binary(.multiply), a, .float(inverse.high))) }
    let low = code.value(.binary(.multiply), a, .float(inverse.low))
    return .floats(code.value(.product(.add), a, .float(inverse.high), low))
  }

  // MARK: Masks

  /// The block where a comparison holds: made under the mask so far, if there is one.
  private mutating func masked(
    _ predicate: VectorInstruction.Predicate, _ a: Operand, _ b: Operand
  ) -> Value {
    let before = currentMasking
    let all = code.mask(.compare(predicate), a, b, mask: before?.mask)
    return masked(all, of: before?.of ?? floats(block))
  }

  private mutating func masked(_ mask: Int) -> Value {
    guard let before = currentMasking else { return masked(mask, of: floats(block)) }
    return masked(code.mask(.and, mask: before.mask, other: mask), of: before.of)
  }

  private var currentMasking: (block: Value, mask: Int, of: Operand)? {
    masking.flatMap { $0.block == block ? $0 : nil }
  }

  private mutating func masked(_ mask: Int, of operand: Operand) -> Value {
    let value = Value.floats(code.value(.blend, operand, .source(.masked), mask: mask))
    masking = (value, mask, operand)
    return value
  }
}
