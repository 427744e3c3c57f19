/// A general register of x86-64, by its number.
enum GeneralRegister: UInt8 {
  case rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
}

/// An address: registers and a number of bytes, or a place among the code's constants.
enum Address: Equatable {
  case memory(GeneralRegister, index: GeneralRegister? = nil, offset: Int)
  case constant(Int)
}

/// The last operand of a vector instruction.
enum VectorOperand: Equatable {
  case register(UInt8)
  /// Sixteen floats.
  case vector(Address)
  /// One float, for all sixteen lanes.
  case broadcast(Address)
}

/// Writes x86-64 instructions: those of AVX-512 F and DQ on whole vectors, on masks, and the few on general
/// registers that loops need.
///
/// The layouts of bytes are those of Intel's manual, volume 2: legacy instructions with REX in 2.2, VEX
/// in 2.3 and EVEX in 2.7.
struct Assembler {
  /// A place in the code that jumps lead to.
  struct Label { fileprivate let number: Int }

  /// How many bytes an offset may be away: beyond, `isValid` ends.
  static let largestOffset = Int(Int32.max) / 2

  private(set) var bytes: [UInt8] = []
  /// Whether every offset so far could be written.
  private(set) var isValid = true
  private var labels: [Int?] = []
  /// Numbers of 32 bits that count from `end`, which come to be known later.
  private var jumps: [(at: Int, label: Int)] = []
  private var references: [(at: Int, end: Int, constant: Int)] = []
  private var constants: [UInt32] = []
  private var places: [UInt32: Int] = [:]
  private var lanes: Int?

  init() { bytes.reserveCapacity(4096) }

  // MARK: Constants and labels

  /// Where a float of these bits lies.
  mutating func constant(_ bits: UInt32) -> Address {
    if let place = places[bits] { return .constant(place) }
    constants.append(bits)
    places[bits] = (constants.count - 1) * 4
    return .constant((constants.count - 1) * 4)
  }

  /// Where the vector 0, 1, … 15 lies.
  mutating func laneNumbers() -> Address {
    let place = lanes ?? constants.count * 4
    if lanes == nil { constants += (0..<16).map { Float($0).bitPattern } }
    lanes = place
    return .constant(place)
  }

  mutating func label() -> Label {
    labels.append(nil)
    return Label(number: labels.count - 1)
  }

  mutating func place(_ label: Label) { labels[label.number] = bytes.count }

  /// The code, and its constants behind it.
  mutating func finish() -> [UInt8] {
    for jump in jumps {
      write(UInt32(truncatingIfNeeded: (labels[jump.label] ?? 0) - (jump.at + 4)), at: jump.at)
    }
    while bytes.count % 64 != 0 { bytes.append(0xCC) }
    let first = bytes.count
    for bits in constants { append(bits) }
    for reference in references {
      write(
        UInt32(truncatingIfNeeded: first + reference.constant - reference.end), at: reference.at)
    }
    return bytes
  }

  // MARK: General registers

  mutating func push(_ register: GeneralRegister) { legacy(0x50, plus: register) }
  mutating func pop(_ register: GeneralRegister) { legacy(0x58, plus: register) }
  mutating func ret() { bytes.append(0xC3) }

  mutating func move(_ target: GeneralRegister, _ source: GeneralRegister) {
    legacy([0x89], reg: source.rawValue, .register(target.rawValue))
  }
  mutating func load(_ target: GeneralRegister, _ source: Address) {
    legacy([0x8B], reg: target.rawValue, .vector(source))
  }
  /// The lower half from memory; the upper becomes 0.
  mutating func loadWord(_ target: GeneralRegister, _ source: Address) {
    legacy([0x8B], reg: target.rawValue, .vector(source), isWide: false)
  }
  mutating func store(_ target: Address, _ source: GeneralRegister) {
    legacy([0x89], reg: source.rawValue, .vector(target))
  }
  /// The address itself.
  mutating func address(_ target: GeneralRegister, _ source: Address) {
    legacy([0x8D], reg: target.rawValue, .vector(source))
  }
  mutating func add(_ target: GeneralRegister, _ source: Address) {
    legacy([0x03], reg: target.rawValue, .vector(source))
  }
  mutating func clear(_ target: GeneralRegister) {
    legacy([0x31], reg: target.rawValue, .register(target.rawValue), isWide: false)
  }
  mutating func compare(_ a: GeneralRegister, _ b: GeneralRegister) {
    legacy([0x39], reg: b.rawValue, .register(a.rawValue))
  }
  /// Shifts the lower half right by `cl`.
  mutating func shiftWordRight(_ target: GeneralRegister) {
    legacy([0xD3], reg: 5, .register(target.rawValue), isWide: false)
  }
  mutating func shiftRight(_ target: GeneralRegister, by count: UInt8) {
    legacy([0xC1], reg: 5, .register(target.rawValue))
    bytes.append(count)
  }
  mutating func shiftLeft(_ target: GeneralRegister, by count: UInt8) {
    legacy([0xC1], reg: 4, .register(target.rawValue))
    bytes.append(count)
  }

  /// The operations with a number, which have one code.
  enum Immediate: UInt8 {
    case add = 0
    case and = 4
    case subtract = 5
    case compare = 7
  }
  mutating func apply(_ operation: Immediate, _ target: GeneralRegister, _ number: Int) {
    legacy([0x81], reg: operation.rawValue, .register(target.rawValue))
    append(UInt32(truncatingIfNeeded: checked(number)))
  }
  mutating func apply(_ operation: Immediate, _ target: Address, _ number: Int) {
    legacy([0x81], reg: operation.rawValue, .vector(target), trailing: 4)
    append(UInt32(truncatingIfNeeded: checked(number)))
  }

  /// Where the number of the last `apply` lies, to be changed later.
  var lastNumber: Int { bytes.count - 4 }
  mutating func write(_ number: UInt32, at place: Int) {
    for i in 0..<4 { bytes[place + i] = UInt8(truncatingIfNeeded: number >> (8 * UInt32(i))) }
  }

  /// Conditions of unsigned comparisons.
  enum Condition: UInt8 {
    case below = 0x82
    case aboveOrEqual = 0x83
    case equal = 0x84
    case notEqual = 0x85
    case belowOrEqual = 0x86
    case above = 0x87
  }
  mutating func jump(_ condition: Condition, to label: Label) {
    bytes += [0x0F, condition.rawValue]
    jumps.append((bytes.count, label.number))
    append(0)
  }

  /// Ends the use of vectors, so that older instructions are not slowed down.
  mutating func clearUpperHalves() { bytes += [0xC5, 0xF8, 0x77] }

  // MARK: Masks

  mutating func and(_ target: UInt8, _ a: UInt8, _ b: UInt8) {
    vex(0x41, isLong: true, reg: target, source: a, .register(b))
  }
  mutating func or(_ target: UInt8, _ a: UInt8, _ b: UInt8) {
    vex(0x45, isLong: true, reg: target, source: a, .register(b))
  }
  mutating func not(_ target: UInt8, _ a: UInt8) { vex(0x44, reg: target, .register(a)) }
  /// From the lowest sixteen bits.
  mutating func loadMask(_ target: UInt8, _ source: GeneralRegister) {
    vex(0x92, reg: target, .register(source.rawValue))
  }
  mutating func loadMask(_ target: UInt8, _ source: Address) {
    vex(0x90, reg: target, .vector(source))
  }
  mutating func storeMask(_ target: Address, _ source: UInt8) {
    vex(0x91, reg: source, .vector(target))
  }

  // MARK: Encodings

  /// A VEX instruction on masks.
  private mutating func vex(
    _ opcode: UInt8, isLong: Bool = false, reg: UInt8, source: UInt8 = 0, _ last: VectorOperand
  ) {
    let (x, b) = extensions(last)
    bytes += [
      0xC4, (reg & 8 == 0 ? 0x80 : 0) | (x ? 0 : 0x40) | (b ? 0 : 0x20) | 1,
      (~source & 15) << 3 | (isLong ? 4 : 0), opcode,
    ]
    modify(reg, last, scale: 1, trailing: 0)
  }

  /// An EVEX instruction on vectors of 512 bits.
  ///
  /// - Parameters:
  ///   - source: The operand between the other two, where there is one.
  ///   - mask: The lanes that are written; 0 is all.
  ///   - clears: Whether the others become 0.
  ///   - scale: What short offsets count in, where it is not the operand's size.
  mutating func evex(
    _ instruction: VectorInstruction, _ reg: UInt8, _ source: UInt8, _ last: VectorOperand,
    mask: UInt8 = 0, clears: Bool = false, immediate: UInt8? = nil, scale: Int? = nil
  ) {
    var (x, b) = extensions(last)
    var isBroadcast = false
    switch last {
    case .register(let number): (x, b) = (number & 16 != 0, number & 8 != 0)
    case .broadcast: isBroadcast = true
    case .vector: break
    }
    bytes += [
      0x62,
      (reg & 8 == 0 ? 0x80 : 0) | (x ? 0 : 0x40) | (b ? 0 : 0x20) | (reg & 16 == 0 ? 0x10 : 0)
        | instruction.map,
      (instruction.isWide ? 0x80 : 0) | (~source & 15) << 3 | 4 | instruction.prefix,
      (clears ? 0x80 : 0) | 0x40 | (isBroadcast ? 0x10 : 0) | (source & 16 == 0 ? 8 : 0) | mask,
      instruction.opcode,
    ]
    modify(reg, last, scale: scale ?? (isBroadcast ? 4 : 64), trailing: immediate == nil ? 0 : 1)
    if let immediate { bytes.append(immediate) }
  }

  /// The same of two operands.
  mutating func evex(
    _ instruction: VectorInstruction, _ reg: UInt8, _ last: VectorOperand, mask: UInt8 = 0,
    clears: Bool = false, immediate: UInt8? = nil, scale: Int? = nil
  ) {
    evex(
      instruction, reg, 0, last, mask: mask, clears: clears, immediate: immediate, scale: scale)
  }

  private mutating func legacy(_ opcode: UInt8, plus register: GeneralRegister) {
    if register.rawValue >= 8 { bytes.append(0x41) }
    bytes.append(opcode | register.rawValue & 7)
  }

  private mutating func legacy(
    _ opcode: [UInt8], reg: UInt8, _ last: VectorOperand, isWide: Bool = true, trailing: Int = 0
  ) {
    let (x, b) = extensions(last)
    bytes.append(
      0x40 | (isWide ? 8 : 0) | (reg & 8 == 0 ? 0 : 4) | (x ? 2 : 0) | (b ? 1 : 0))
    bytes += opcode
    modify(reg, last, scale: 1, trailing: trailing)
  }

  /// The fourth bits of the index and of the base.
  private func extensions(_ operand: VectorOperand) -> (index: Bool, base: Bool) {
    switch operand {
    case .register(let number): (false, number & 8 != 0)
    case .vector(.memory(let base, let index, _)), .broadcast(.memory(let base, let index, _)):
      ((index?.rawValue ?? 0) & 8 != 0, base.rawValue & 8 != 0)
    case .vector(.constant), .broadcast(.constant): (false, false)
    }
  }

  /// ModR/M, SIB and the offset, which counts in units of `scale` where it is one byte.
  ///
  /// - Parameter trailing: Bytes of the instruction that follow.
  private mutating func modify(
    _ reg: UInt8, _ operand: VectorOperand, scale: Int, trailing: Int
  ) {
    let field = (reg & 7) << 3
    switch operand {
    case .register(let number): bytes.append(0xC0 | field | number & 7)
    case .vector(.constant(let place)), .broadcast(.constant(let place)):
      bytes.append(field | 5)
      references.append((bytes.count, bytes.count + 4 + trailing, place))
      append(0)
    case .vector(.memory(let base, let index, let offset)),
      .broadcast(.memory(let base, let index, let offset)):
      let short = Int8(exactly: offset / scale).flatMap { offset % scale == 0 ? $0 : nil }
      // rbp and r13 without an offset mean something else.
      let mode: UInt8 =
        offset == 0 && base.rawValue & 7 != 5 ? 0 : short == nil ? 0x80 : 0x40
      if index != nil || base.rawValue & 7 == 4 {
        bytes.append(mode | field | 4)
        bytes.append(((index?.rawValue ?? 4) & 7) << 3 | base.rawValue & 7)
      } else {
        bytes.append(mode | field | base.rawValue & 7)
      }
      if mode == 0x40, let short { bytes.append(UInt8(bitPattern: short)) }
      if mode == 0x80 { append(UInt32(truncatingIfNeeded: checked(offset))) }
    }
  }

  private mutating func checked(_ offset: Int) -> Int {
    if abs(offset) > Self.largestOffset { isValid = false }
    return offset
  }

  private mutating func append(_ number: UInt32) {
    for i in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: number >> (8 * UInt32(i)))) }
  }
}
