internal import CMicrokernels

// The straight-line code, for one vector or several side by side.
extension TileAssembly {
  /// Writes the code for `lanes` vectors: each group of operations for all of them in turn.
  mutating func makeBody(lanes: Int) {
    self.lanes = lanes
    let (own, ownMasks) = (lifetimes.values.own, lifetimes.masks.own)
    values = RegisterFile(
      singles: own, sets: (Self.vectors - own - resident.count) / lanes, lanes: lanes,
      values: code.valueCount)
    masks = RegisterFile(
      singles: ownMasks, sets: ((spillsMasks ? 5 : 7) - ownMasks) / lanes, lanes: lanes,
      values: code.maskCount)
    var first = 0
    while first < code.operations.count {
      // A single vector has no turns, and may have to spill between operations.
      let group = code.operations[first].group
      var end = first + 1
      while lanes > 1, end < code.operations.count, code.operations[end].group == group { end += 1 }
      sharesTemporaries = lanes > 1 && end == first + 1
      (temporaries, pointerInRegister) = ([nil, nil], nil)
      for i in first..<end { assignRegisters(code.operations[i], at: i) }
      for lane in 0..<lanes {
        for i in first..<end {
          if !sharesTemporaries { (temporaries, pointerInRegister) = ([nil, nil], nil) }
          write(code.operations[i], lane)
        }
      }
      releaseSlots(code.operations[first], at: first)
      first = end
    }
  }

  // MARK: Registers

  /// Gives the operation's result a place; operands that end here give up theirs, but are read first.
  private mutating func assignRegisters(_ operation: VectorCode.Operation, at i: Int) {
    let ending = lifetimes.ending(operation, at: i)
    for value in ending { values.release(value) }
    for mask in lifetimes.endingMasks(operation, at: i) { masks.release(mask) }
    let target = operation.target
    if target < 0 { return }
    if operation.kind.isMask {
      let isOwn = lifetimes.isOwnMask[target]
      let spilled = masks.take(for: target, isOwn: isOwn, slots: &slots) { [code] in
        code.nextUse(ofMask: $0, from: i)
      }
      if let spilled {
        assembler.storeMask(
          slotAddress(spilled.slot), 1 + masks.register(set: spilled.set, 0))
      }
      return
    }
    let isOwn = lifetimes.isOwn[target]
    // A product is written over one of its operands.
    if case .product = operation.kind {
      for value in ending where values.take(for: target, isOwn: isOwn, from: value) { return }
    }
    let spilled = values.take(for: target, isOwn: isOwn, slots: &slots) { [code] in
      code.nextUse(of: $0, from: i)
    }
    if let spilled {
      assembler.evex(
        .store, values.register(set: spilled.set, 0), .vector(slotAddress(spilled.slot)))
    }
  }

  /// Gives up the memory of operands that end here.
  private mutating func releaseSlots(_ operation: VectorCode.Operation, at i: Int) {
    for value in lifetimes.ending(operation, at: i) {
      if case .slot(let slot) = values.places[value] { slots.release(slot) }
    }
    for mask in lifetimes.endingMasks(operation, at: i) {
      if case .slot(let slot) = masks.places[mask] { slots.release(slot) }
    }
  }

  // MARK: Operands

  /// Where a source lies in memory for one of the vectors.
  mutating func memory(_ source: VectorCode.Source, lane: Int) -> VectorOperand {
    let down = layout.isOneVector
    func along(_ pitch: Int) -> Int { down ? lane * pitch * 4 : lane * 64 }
    switch source {
    case .block: return .vector(.memory(.r8, index: .rax, offset: along(layout.blockPitch)))
    case .register(let r):
      let offset = (r - 1) * layout.registerSize * 4 + along(layout.registerPitch)
      return .vector(.memory(.r11, index: .rax, offset: offset))
    case .column(let c):
      return .vector(.memory(.r9, index: .rax, offset: c * layout.columnPitch * 4 + along(0)))
    case .external(let e):
      loadPointer(.external(e))
      return .vector(.memory(.rcx, index: .rax, offset: along(layout.externalPitch)))
    case .pointer(let p):
      loadPointer(.floats(p))
      return .vector(.memory(.rcx, index: .rax, offset: along(0)))
    case .row(let j):
      let offset = j * layout.rowValuePitch * 4 + (down ? lane * 4 : 0)
      return .broadcast(.memory(.r10, offset: offset))
    case .constant(let bits): return .broadcast(assembler.constant(bits))
    case .masked: return .broadcast(member(\.masked))
    case .lanes: return .vector(assembler.laneNumbers())
    }
  }

  private mutating func loadPointer(_ slot: PointerSlot) {
    guard case .memory(_, _, let offset) = address(slot), pointerInRegister != offset else {
      return
    }
    assembler.load(.rcx, address(slot))
    pointerInRegister = offset
  }

  private mutating func form(_ operand: VectorCode.Operand, _ lane: Int) -> VectorOperand {
    switch operand {
    case .source(let source):
      return resident[source].map { .register($0) } ?? memory(source, lane: lane)
    case .value(let value):
      if let register = values.register(value, lane) { return .register(register) }
      if case .slot(let slot) = values.places[value] { return .vector(slotAddress(slot)) }
      return .register(0)
    }
  }

  private func isInMemory(_ operand: VectorCode.Operand) -> Bool {
    switch operand {
    case .source(let source): resident[source] == nil
    case .value(let value): values.register(value, 0) == nil
    }
  }

  mutating func load(_ register: UInt8, _ form: VectorOperand) {
    switch form {
    case .register: assembler.evex(.move, register, form)
    case .vector: assembler.evex(.load, register, form)
    case .broadcast(let address):
      assembler.evex(.broadcast, register, .vector(address), scale: 4)
    }
  }

  /// An operand in a register: its own, or a temporary one.
  private mutating func inRegister(_ operand: VectorCode.Operand, _ lane: Int, _ temporary: Int)
    -> UInt8
  {
    let number = UInt8(Self.vectors + temporary)
    if temporaries[temporary] == operand { return number }
    let form = form(operand, lane)
    if case .register(let register) = form { return register }
    load(number, form)
    let isShared = if case .source(let source) = operand { isShared(source) } else { false }
    temporaries[temporary] = isShared ? operand : nil
    return number
  }

  /// An operand that may be in memory: once for all vectors if it is the same for them.
  private mutating func anywhere(_ operand: VectorCode.Operand, _ lane: Int, _ temporary: Int)
    -> VectorOperand
  {
    if case .source(let source) = operand, isShared(source), sharesTemporaries {
      return .register(inRegister(operand, lane, temporary))
    }
    return form(operand, lane)
  }

  private mutating func maskRegister(_ mask: Int, _ lane: Int, _ temporary: Int) -> UInt8 {
    if let register = masks.register(mask, lane) { return 1 + register }
    guard case .slot(let slot) = masks.places[mask] else { return 1 }
    assembler.loadMask(UInt8(6 + temporary), slotAddress(slot))
    return UInt8(6 + temporary)
  }

  // MARK: Instructions

  private mutating func write(_ operation: VectorCode.Operation, _ lane: Int) {
    let zero = VectorCode.Operand.float(0)
    let (a, b, c) = (operation.a ?? zero, operation.b ?? zero, operation.c ?? zero)
    if operation.kind.isMask {
      let target = 1 + (masks.register(operation.target, lane) ?? 0)
      writeMask(operation, a, b, target, lane)
      return
    }
    let target =
      operation.target < 0 ? 0 : values.register(operation.target, lane) ?? 0
    switch operation.kind {
    case .copy: load(target, form(a, lane))
    case .binary(let instruction):
      let exchanges = instruction.commutes && isInMemory(a) && !isInMemory(b)
      let first = inRegister(exchanges ? b : a, lane, 0)
      let last = anywhere(exchanges ? a : b, lane, 1)
      assembler.evex(instruction, target, first, last)
    case .unary(let instruction, let number):
      assembler.evex(instruction, target, anywhere(a, lane, 0), immediate: number)
    case .shiftRight(let count):
      // 4 stands for this kind of shift.
      assembler.evex(.shiftIntegers, 4, target, anywhere(a, lane, 0), immediate: count)
    case .product(let kind): writeProduct(kind, a, b, c, target, lane)
    case .blend:
      let mask = maskRegister(operation.mask ?? 0, lane, 0)
      let otherwise = inRegister(b, lane, 0)
      assembler.evex(.blend, target, otherwise, anywhere(a, lane, 1), mask: mask)
    case .keep:
      let mask = maskRegister(operation.mask ?? 0, lane, 0)
      assembler.evex(
        .move, target, .register(inRegister(a, lane, 0)), mask: mask, clears: true)
    case .count: writeCount(a, target, lane)
    case .store(let register):
      let value = inRegister(a, lane, 0)
      assembler.evex(
        .store, value, memory(register == 0 ? .block : .register(register), lane: lane))
    case .compare, .bits, .and, .or, .not: break
    }
  }

  /// A product and a third term, over one of the three.
  private mutating func writeProduct(
    _ kind: VectorInstruction.Product, _ a: VectorCode.Operand, _ b: VectorCode.Operand,
    _ c: VectorCode.Operand, _ target: UInt8, _ lane: Int
  ) {
    func isTarget(_ operand: VectorCode.Operand) -> Bool {
      guard case .value(let value) = operand else { return false }
      return values.register(value, lane) == target
    }
    if isTarget(c) {
      let exchanges = isInMemory(a) && !isInMemory(b)
      let first = inRegister(exchanges ? b : a, lane, 0)
      assembler.evex(kind.addingTarget, target, first, anywhere(exchanges ? a : b, lane, 1))
      return
    }
    // Over a factor: b if it ends here, or if it has to be loaded anyway.
    let isOverB = isTarget(b) || !isTarget(a) && isInMemory(b) && !isInMemory(a)
    let (over, other) = isOverB ? (b, a) : (a, b)
    if !isTarget(over) { load(target, form(over, lane)) }
    if isInMemory(c) || !isInMemory(other) {
      let factor = inRegister(other, lane, 0)
      assembler.evex(kind.multiplyingSource, target, factor, anywhere(c, lane, 1))
    } else {
      let term = inRegister(c, lane, 0)
      assembler.evex(kind.multiplyingLast, target, term, anywhere(other, lane, 1))
    }
  }

  /// The number of the vector's first column and 0, 1, … 15.
  private mutating func writeCount(_ numbers: VectorCode.Operand, _ target: UInt8, _ lane: Int) {
    if lane == 0 || !sharesTemporaries {
      assembler.load(.rcx, member(\.first))
      assembler.move(.rbx, .rax)
      assembler.shiftRight(.rbx, by: 2)
      assembler.address(.rcx, .memory(.rcx, index: .rbx, offset: 0))
    }
    let first = UInt8(Self.vectors + 1)
    assembler.address(.rbx, .memory(.rcx, offset: 16 * lane))
    assembler.evex(.fromGeneral, first, first, .register(GeneralRegister.rbx.rawValue))
    assembler.evex(.broadcast, first, .register(first))
    assembler.evex(.add, target, first, anywhere(numbers, lane, 0))
  }

  private mutating func writeMask(
    _ operation: VectorCode.Operation, _ a: VectorCode.Operand, _ b: VectorCode.Operand,
    _ target: UInt8, _ lane: Int
  ) {
    let mask = operation.mask.map { maskRegister($0, lane, 0) }
    switch operation.kind {
    case .compare(let predicate):
      var (first, last, predicate) = (a, b, predicate)
      if isInMemory(a) && !isInMemory(b), let exchanged = predicate.exchanged {
        (first, last, predicate) = (b, a, exchanged)
      }
      let register = inRegister(first, lane, 0)
      assembler.evex(
        .compare, target, register, anywhere(last, lane, 1), mask: mask ?? 0,
        immediate: predicate.rawValue)
    case .bits(let p):
      if lane == 0 || !sharesTemporaries {
        assembler.move(.rbx, .rax)
        assembler.shiftRight(.rbx, by: 5)
        assembler.add(.rbx, address(.bits(p)))
        assembler.load(.rcx, address(.shift(p)))
      }
      assembler.loadWord(.r13, .memory(.rbx, offset: 2 * lane))
      assembler.shiftWordRight(.r13)
      assembler.loadMask(target, .r13)
    case .and: assembler.and(target, mask ?? 1, maskRegister(operation.other ?? 0, lane, 1))
    case .or: assembler.or(target, mask ?? 1, maskRegister(operation.other ?? 0, lane, 1))
    case .not: assembler.not(target, mask ?? 1)
    default: break
    }
  }
}
