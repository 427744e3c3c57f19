import Attention
import CMicrokernels
import Devices
import Glibc
import Testing

/// Compiled tile programs do what the interpreter does, to the bit, and touch nothing else.
@Suite(.enabled(if: InstructionSet.best >= .avx512)) struct TileCodeTests {
  private let kernels: swa_attention_kernels
  private static let compiled = TileProgramCase.operations.filter { $0 != SWA_TILE_SINE }
  private static let special: [Float] = [
    0, -0.0, 1, -1, 0x1p-149, -0x1p-140, 0x1p-126, 1e-30, 88.73, -87.4, -104, 3e38, -3e38,
    .infinity, -.infinity, .nan, 0x1p24, 7,
  ]

  init() throws {
    kernels = try CPUDevice(threads: 1, instructionSet: .avx512).attentionKernels
  }

  private func layout(pitch: Int, isOneVector: Bool = false) -> TileLayout {
    var layout = TileLayout()
    (layout.blockPitch, layout.registerPitch, layout.externalPitch) = (pitch, pitch, pitch)
    layout.registerSize = TileProgramCase.size
    layout.columnPitch = TileProgramCase.pitch
    layout.rowValuePitch = TileProgramCase.rows
    layout.rowPointerPitch = TileProgramCase.rows
    layout.isOneVector = isOneVector
    return layout
  }

  /// The first float in which a compiled program differs from the interpreter.
  private func difference(
    _ one: TileProgramCase, rows: Int, width: Int, pitch: Int, isOneVector: Bool = false,
    knowing facts: TileFacts = TileFacts()
  ) throws -> String? {
    let kept = (0..<one.registers).map { $0 + 1 }
    let code = try #require(
      TileCode(
        one.steps, keeping: kept, layout: layout(pitch: pitch, isOneVector: isOneVector),
        knowing: facts))
    var hasRun = false
    let found = one.run(rows: rows, pitch: pitch) { memory in
      hasRun = code.view.run(&memory, rows: rows, width: width)
    }
    #expect(hasRun)
    let expected = one.run(rows: rows, pitch: pitch) { memory in
      kernels.run_tile(one.steps, one.steps.count, &memory, rows, width)
    }
    guard let i = found.indices.first(where: { found[$0] != expected[$0] }) else { return nil }
    let place = "register \(i / TileProgramCase.size), float \(i % TileProgramCase.size)"
    return "\(place): \(Float(bitPattern: found[i])), not \(Float(bitPattern: expected[i]))"
  }

  @Test func everyOperation() throws {
    let reading = TileProgramCase.reading
    for op in Self.compiled + reading {
      for seed in 0..<24 {
        let one = TileProgramCase(
          seed: UInt64(seed), steps: 1, blocksOnly: seed % 3 == 0, operations: [op],
          special: Self.special)
        for (rows, width) in [(13, 112), (3, 64)] {
          let wrong = try difference(one, rows: rows, width: width, pitch: TileProgramCase.pitch)
          #expect(wrong == nil, "operation \(op.rawValue), seed \(seed)")
        }
      }
    }
  }

  /// Programs of 1 to 80 steps, as many values at a time as registers name: with 40 some have to leave
  /// the processor's registers.
  @Test(arguments: [4, 12, 40])
  func randomPrograms(registers: Int) throws {
    for seed in 0..<80 {
      let one = TileProgramCase(
        seed: UInt64(seed), steps: seed % 4 == 0 ? 80 : 1 + seed % 23, registers: registers,
        operations: Self.compiled + TileProgramCase.reading,
        special: seed % 2 == 0 ? Self.special : [])
      for (rows, width) in [(1, 16), (3, 48), (13, 112), (12, 128), (5, 144), (0, 32)] {
        for pitch in [width, TileProgramCase.pitch] {
          let wrong = try difference(one, rows: rows, width: width, pitch: pitch)
          #expect(wrong == nil, "seed \(seed), \(rows) x \(width), pitch \(pitch)")
        }
      }
    }
  }

  /// More conditions at a time than there are mask registers.
  @Test func manyConditions() throws {
    let conditions = [
      SWA_TILE_LESS, SWA_TILE_LESS_OR_EQUAL, SWA_TILE_EQUAL, SWA_TILE_AND, SWA_TILE_OR,
      SWA_TILE_NOT,
      SWA_TILE_BITS, SWA_TILE_MASK, SWA_TILE_MASK_LESS, SWA_TILE_MASK_BITS, SWA_TILE_SELECT,
    ]
    for seed in 0..<60 {
      let one = TileProgramCase(
        seed: UInt64(seed), steps: 60, registers: 24, operations: conditions, special: [0, 1])
      let wrong = try difference(one, rows: 5, width: 80, pitch: TileProgramCase.pitch)
      #expect(wrong == nil, "seed \(seed)")
    }
  }

  /// Panels: rows of one vector.
  @Test func panels() throws {
    let operations = Self.compiled.filter { $0 != SWA_TILE_IOTA }
    for seed in 0..<80 {
      let one = TileProgramCase(
        seed: UInt64(seed), steps: 1 + seed % 30, registers: seed % 8 == 0 ? 40 : 3,
        operations: operations, special: seed % 2 == 0 ? Self.special : [])
      for rows in [1, 2, 4, 7, 13] {
        for pitch in [16, TileProgramCase.pitch] {
          let wrong = try difference(one, rows: rows, width: 16, pitch: pitch, isOneVector: true)
          #expect(wrong == nil, "seed \(seed), \(rows) rows, pitch \(pitch)")
        }
      }
    }
  }

  /// Whole numbers divided by constants, without divisions: every bit of the quotient.
  @Test func quotientsOfWholeNumbers() throws {
    func operand(_ source: swa_tile_source, _ index: UInt16) -> swa_tile_operand {
      swa_tile_operand(source: UInt16(source.rawValue), index: index)
    }
    func step(
      _ op: swa_tile_op, _ target: UInt16, _ a: swa_tile_operand, _ b: swa_tile_operand
    ) -> swa_tile_step {
      swa_tile_step(op: UInt16(op.rawValue), target: target, a: a, b: b, c: b)
    }
    var random = Random(3)
    var facts = TileFacts()
    (facts.wholeRows, facts.wholeColumns) = ([0], [0, 1])
    let divisors =
      (1...300).map { Float($0) } + [0.1, 0.75, -3, 1e-20, 0x1.fffffep3]
      + (0..<200).map { _ in Float(Int.random(in: 1..<1 << 20, using: &random)) }
    for divisor in divisors {
      var one = TileProgramCase(seed: 1, steps: 1)
      let rest = one.floats.count - TileProgramCase.size
      for i in 0..<2 * TileProgramCase.pitch {
        let quotient = Float(Int.random(in: 0...1 << 12, using: &random))
        let near = (quotient * divisor).rounded() + Float(Int.random(in: -1...1, using: &random))
        let any = Float(Int.random(in: -1 << 24...1 << 24, using: &random))
        // Without −0.
        one.floats[rest + i] = (i % 2 == 0 && abs(near) < 0x1p24 ? near : any) + 0
      }
      for r in 0..<TileProgramCase.rows {
        one.floats[rest + 5 * TileProgramCase.pitch + r] = Float(r * r * r)
        one.floats[rest + 5 * TileProgramCase.pitch + TileProgramCase.rows + r] = divisor
      }
      facts.constants[1] = divisor
      let (numbers, others) = (operand(SWA_TILE_COLUMN, 0), operand(SWA_TILE_COLUMN, 1))
      let (row, constant) = (operand(SWA_TILE_ROW, 0), operand(SWA_TILE_ROW, 1))
      one.steps = [
        step(SWA_TILE_SUBTRACT, 1, numbers, row),
        step(SWA_TILE_DIVIDE, 0, operand(SWA_TILE_REGISTER, 1), constant),
        step(SWA_TILE_MAXIMUM, 2, others, row),
        step(SWA_TILE_DIVIDE, 2, operand(SWA_TILE_REGISTER, 2), constant),
        step(SWA_TILE_DIVIDE, 3, numbers, constant),
        // Not known to be whole.
        step(SWA_TILE_DIVIDE, 4, operand(SWA_TILE_REGISTER, 3), constant),
      ]
      let wrong = try difference(
        one, rows: TileProgramCase.rows, width: 144, pitch: 144, knowing: facts)
      #expect(wrong == nil, "divided by \(divisor)")
    }
  }

  /// What is not compiled, and memory that the code was not made for.
  @Test func leavesToTheInterpreter() throws {
    let register = swa_tile_operand(source: UInt16(SWA_TILE_REGISTER.rawValue), index: 0)
    func step(_ op: swa_tile_op, target: UInt16 = 0, _ a: swa_tile_operand? = nil) -> swa_tile_step
    {
      swa_tile_step(
        op: UInt16(op.rawValue), target: target, a: a ?? register, b: register, c: register)
    }
    let plain = layout(pitch: 144)
    for op in [SWA_TILE_SINE, SWA_TILE_COSINE, SWA_TILE_POWER] {
      #expect(TileCode([step(SWA_TILE_ADD), step(op)], layout: plain) == nil)
    }
    #expect(TileCode([], layout: plain) == nil)
    #expect(TileCode([step(SWA_TILE_IOTA)], layout: layout(pitch: 16, isOneVector: true)) == nil)
    let long = [swa_tile_step](repeating: step(SWA_TILE_EXP), count: 2_049)
    #expect(TileCode(long, layout: plain) == nil)
    #expect(TileCode(Array(long[1...]), layout: plain) != nil)
    // More values at a time than stack is taken for.
    let many = (1...200).map { step(SWA_TILE_ADD, target: $0) }
    #expect(TileCode(many, keeping: Array(1...200), layout: plain) == nil)
    // Offsets that an instruction cannot hold.
    var wide = plain
    wide.columnPitch = 1 << 40
    let far = swa_tile_operand(source: UInt16(SWA_TILE_COLUMN.rawValue), index: 9)
    #expect(TileCode([step(SWA_TILE_ADD, far)], layout: wide) == nil)

    let code = try #require(
      TileCode([step(SWA_TILE_ADD), step(SWA_TILE_IOTA, target: 1)], keeping: [1], layout: plain))
    let one = TileProgramCase(seed: 1, steps: 1)
    let before = one.run(rows: 1, pitch: 144) { _ in }
    let positions = [Int32](repeating: 3, count: 16)
    let after = one.run(rows: 1, pitch: 144) { memory in
      positions.withUnsafeBufferPointer { positions in
        memory.positions = positions.baseAddress
        #expect(!code.view.run(&memory, rows: 1, width: 16))
      }
      memory.positions = nil
      memory.block_pitch = 128
      #expect(!code.view.run(&memory, rows: 1, width: 16))
    }
    #expect(before == after)
  }

  /// No page is writable and executable at once.
  @Test func pagesAreExecutableOnly() throws {
    func executable() throws -> Int {
      let file = try #require(fopen("/proc/self/maps", "r"))
      defer { fclose(file) }
      var (line, count) = ([CChar](repeating: 0, count: 4_096), 0)
      while fgets(&line, Int32(line.count), file) != nil {
        let text = String(
          decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        let rights = text.split(separator: " ").dropFirst().first ?? ""
        #expect(!rights.contains("w") || !rights.contains("x"), "\(text)")
        // Anonymous memory has no name.
        if rights.contains("x"), text.split(separator: " ").last == "\n" { count += 1 }
      }
      return count
    }
    let one = TileProgramCase(seed: 1, steps: 1, operations: [SWA_TILE_ADD])
    var codes = try (0..<64).map { _ in
      try #require(TileCode(one.steps, layout: layout(pitch: 144)))
    }
    #expect(try executable() > 0)
    #expect(codes.removeLast().byteCount > 0)
    codes.removeAll()
  }

  /// Whole attention, compiled and interpreted, gives the same outputs.
  @Test func attentionIsTheSame() throws {
    let shape = AttentionShape(queryHeads: 6, kvHeads: 2, headDimension: 40)
    let interpreting = try CPUDevice(threads: 2, compilesPrograms: false)
    let compiling = try CPUDevice(threads: 2, compilesPrograms: true)
    for variant in RandomVariants.make(shape, 30) {
      var scenario = Scenario(shape: shape, variant: variant)
      scenario.lengths = [(1, 57), (19, 183), (4, 4)]
      scenario.tensors = { VariantCase.randomTensors(variant, $0, shape) }
      func bits(_ device: CPUDevice) throws -> [UInt32] {
        let result = try scenario.run(Scenario.Material(scenario, device))
        return (result.output + result.lse).map(\.bitPattern)
      }
      #expect(try bits(compiling) == bits(interpreting), "\(variant.name)")
    }
  }
}
