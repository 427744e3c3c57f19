import CMicrokernels

/// A random program over a block, registers and one register that stands for results handed on, with
/// operands of every kind.
struct TileProgramCase {
  static let pitch = 144
  static let rows = 13
  static let size = pitch * rows

  /// The registers from 1 on that steps name.
  let registers: Int
  var steps: [swa_tile_step] = []
  /// The same without results that are handed on in registers.
  var single: [swa_tile_step] = []
  var floats: [Float]
  private let bytes: [UInt8]

  static let operations: [swa_tile_op] = [
    SWA_TILE_ADD, SWA_TILE_SUBTRACT, SWA_TILE_MULTIPLY, SWA_TILE_DIVIDE, SWA_TILE_MINIMUM,
    SWA_TILE_MAXIMUM, SWA_TILE_LESS, SWA_TILE_LESS_OR_EQUAL, SWA_TILE_EQUAL, SWA_TILE_AND,
    SWA_TILE_OR, SWA_TILE_NEGATE, SWA_TILE_ABSOLUTE, SWA_TILE_EXP, SWA_TILE_LOG, SWA_TILE_TANH,
    SWA_TILE_SIGMOID, SWA_TILE_SQUARE_ROOT, SWA_TILE_FLOOR, SWA_TILE_NOT, SWA_TILE_SINE,
    SWA_TILE_COPY, SWA_TILE_MULTIPLY_ADD, SWA_TILE_ADD_PRODUCT, SWA_TILE_MULTIPLY_SUBTRACT,
    SWA_TILE_SUBTRACT_PRODUCT, SWA_TILE_SELECT, SWA_TILE_MASK, SWA_TILE_MASK_LESS,
    SWA_TILE_MASK_LESS_OR_EQUAL, SWA_TILE_MASK_EQUAL, SWA_TILE_IOTA,
  ]
  static let reading: [swa_tile_op] = [SWA_TILE_LOAD, SWA_TILE_BITS, SWA_TILE_MASK_BITS]

  /// - Parameters:
  ///   - blocksOnly: Whether all operands are blocks.
  ///   - special: Numbers among the operands beside random ones.
  init(
    seed: UInt64, steps count: Int, blocksOnly: Bool = false, registers: Int = 4,
    operations: [swa_tile_op] = Self.operations, special: [Float] = []
  ) {
    self.registers = registers
    var random = Random(seed)
    // The block, the registers, an external block, and columns and row values.
    floats = (0..<(registers + 4) * Self.size).map { _ in
      let number = random.float() * 2
      return Int.random(in: 0..<3, using: &random) == 0
        ? special.randomElement(using: &random) ?? number : number
    }
    // Any bits, and as floats any but NaN with something in it, which some functions make numbers of.
    bytes = (0..<1_024).map {
      UInt8.random(in: 0...255, using: &random) & ($0 % 4 == 3 ? 0xBF : 0xFF)
    }
    let last = UInt16(registers)
    func operand() -> swa_tile_operand {
      var sources = [SWA_TILE_REGISTER, SWA_TILE_EXTERNAL]
      if !blocksOnly { sources += [SWA_TILE_REGISTER, SWA_TILE_COLUMN, SWA_TILE_ROW] }
      let source = sources.randomElement(using: &random) ?? SWA_TILE_ROW
      let index: UInt16 =
        switch source {
        case SWA_TILE_EXTERNAL: 0
        case SWA_TILE_REGISTER: UInt16.random(in: 0...last, using: &random)
        default: UInt16.random(in: 0...4, using: &random)
        }
      return swa_tile_operand(source: UInt16(source.rawValue), index: index)
    }
    var chained = 0
    for _ in 0..<count {
      let op = operations.randomElement(using: &random) ?? SWA_TILE_COPY
      let isMask = op.rawValue >= SWA_TILE_MASK.rawValue
      var step = swa_tile_step(
        op: UInt16(op.rawValue), target: isMask ? 0 : UInt16.random(in: 0...last, using: &random),
        a: operand(), b: operand(), c: operand())
      if Self.reading.contains(op) {
        step.a = swa_tile_operand(
          source: UInt16(SWA_TILE_ROW.rawValue), index: UInt16.random(in: 0...1, using: &random))
      }
      // The compiler of the interpreter may round a product of two row values by itself; lowered
      // programs have none.
      if op == SWA_TILE_ADD_PRODUCT, step.b.source == UInt16(SWA_TILE_ROW.rawValue) {
        step.c = swa_tile_operand(source: UInt16(SWA_TILE_EXTERNAL.rawValue), index: 0)
      }
      var alone = step
      chained = swa_tile_reads(op) ? 0 : chained + 1
      if chained > 0, chained % Int(SWA_TILE_CHAIN) != 1, Bool.random(using: &random),
        let before = single.last
      {
        step.a = swa_tile_operand(source: UInt16(SWA_TILE_LAST.rawValue), index: 0)
        alone.a = swa_tile_operand(source: UInt16(SWA_TILE_REGISTER.rawValue), index: before.target)
        let isMask = before.op >= SWA_TILE_MASK.rawValue
        if !isMask, Bool.random(using: &random) {
          steps[steps.count - 1].target = UInt16(SWA_TILE_NOWHERE)
          single[single.count - 1].target = last + 1
          alone.a.index = last + 1
        }
      }
      steps.append(step)
      single.append(alone)
    }
  }

  /// All floats after a run, as bits: the block, registers, an unspecified register, the rest.
  ///
  /// - Parameter pitch: Of the block, the registers and the external block.
  func run(rows: Int, pitch: Int, _ execute: (inout swa_tile_memory) -> Void) -> [UInt32] {
    var floats = floats
    floats.withUnsafeMutableBufferPointer { floats in
      guard let base = floats.baseAddress else { return }
      let rest = base + (registers + 3) * Self.size
      var external = swa_tile_external(base: rest - Self.size, pitch: pitch)
      bytes.withUnsafeBytes { bytes in
        // Two pointers of floats or bits for each row.
        let pointers = (0..<2 * Self.rows).map { i -> UnsafeRawPointer? in
          i % 3 == 0 ? bytes.baseAddress : UnsafeRawPointer(rest)
        }
        let bits = (0..<2 * Self.rows).map { $0 * 5 }
        pointers.withUnsafeBufferPointer { pointers in
          bits.withUnsafeBufferPointer { bits in
            withUnsafePointer(to: &external) { external in
              var memory = swa_tile_memory()
              (memory.block, memory.block_pitch) = (base, pitch)
              (memory.registers, memory.register_pitch) = (base + Self.size, pitch)
              memory.register_size = Self.size
              (memory.columns, memory.column_pitch) = (UnsafePointer(rest), Self.pitch)
              memory.row_values = UnsafePointer(rest + 5 * Self.pitch)
              memory.row_value_pitch = Self.rows
              memory.externals = external
              memory.row_pointers = pointers.baseAddress
              memory.row_bits = bits.baseAddress
              memory.row_pointer_pitch = Self.rows
              (memory.first, memory.masked) = (7, -.infinity)
              execute(&memory)
            }
          }
        }
      }
    }
    let unspecified = (registers + 1) * Self.size..<(registers + 2) * Self.size
    return floats.indices.map { i in
      // Any NaN is NaN.
      unspecified.contains(i) ? 0 : floats[i].isNaN ? 0x7FC0_0000 : floats[i].bitPattern
    }
  }
}
