import Attention
import CMicrokernels
import Devices
import Testing

/// Tile programs at every level: a chain of steps does what the steps do one by one.
@Suite struct TileProgramTests {
  static let levels = InstructionSet.available

  /// Programs over a block, four registers and one that stands for results handed on.
  private struct Case {
    static let pitch = 144
    static let rows = 13
    static let size = pitch * rows
    static let handed = 5
    var steps: [swa_tile_step] = []
    /// The same without results that are handed on in registers.
    var single: [swa_tile_step] = []
    var floats: [Float]

    static let operations: [swa_tile_op] = [
      SWA_TILE_ADD, SWA_TILE_SUBTRACT, SWA_TILE_MULTIPLY, SWA_TILE_DIVIDE, SWA_TILE_MINIMUM,
      SWA_TILE_MAXIMUM, SWA_TILE_LESS, SWA_TILE_LESS_OR_EQUAL, SWA_TILE_EQUAL, SWA_TILE_AND,
      SWA_TILE_OR, SWA_TILE_NEGATE, SWA_TILE_ABSOLUTE, SWA_TILE_EXP, SWA_TILE_LOG, SWA_TILE_TANH,
      SWA_TILE_SIGMOID, SWA_TILE_SQUARE_ROOT, SWA_TILE_FLOOR, SWA_TILE_NOT, SWA_TILE_SINE,
      SWA_TILE_COPY, SWA_TILE_MULTIPLY_ADD, SWA_TILE_ADD_PRODUCT, SWA_TILE_MULTIPLY_SUBTRACT,
      SWA_TILE_SUBTRACT_PRODUCT, SWA_TILE_SELECT, SWA_TILE_MASK, SWA_TILE_MASK_LESS,
      SWA_TILE_MASK_LESS_OR_EQUAL, SWA_TILE_MASK_EQUAL, SWA_TILE_IOTA,
    ]

    init(seed: UInt64, steps count: Int, blocksOnly: Bool) {
      var random = Random(seed)
      // The block, registers 1 to 5, an external block, columns and row values.
      floats = (0..<8 * Self.size).map { _ in random.float() * 2 }
      func operand() -> swa_tile_operand {
        var sources = [SWA_TILE_REGISTER, SWA_TILE_EXTERNAL]
        if !blocksOnly { sources += [SWA_TILE_REGISTER, SWA_TILE_COLUMN, SWA_TILE_ROW] }
        let source = sources.randomElement(using: &random)
        let index = source == SWA_TILE_EXTERNAL ? 0 : UInt16.random(in: 0...4, using: &random)
        return swa_tile_operand(source: UInt16((source ?? SWA_TILE_ROW).rawValue), index: index)
      }
      var chained = 0
      for _ in 0..<count {
        let op = Self.operations.randomElement(using: &random) ?? SWA_TILE_COPY
        let isMask = op.rawValue >= SWA_TILE_MASK.rawValue
        var step = swa_tile_step(
          op: UInt16(op.rawValue), target: isMask ? 0 : UInt16.random(in: 0...4, using: &random),
          a: operand(), b: operand(), c: operand())
        var alone = step
        chained = swa_tile_reads(op) ? 0 : chained + 1
        if chained > 0, chained % Int(SWA_TILE_CHAIN) != 1, Bool.random(using: &random),
          let last = single.last
        {
          step.a = swa_tile_operand(source: UInt16(SWA_TILE_LAST.rawValue), index: 0)
          alone.a = swa_tile_operand(source: UInt16(SWA_TILE_REGISTER.rawValue), index: last.target)
          let isMask = last.op >= SWA_TILE_MASK.rawValue
          if !isMask, Bool.random(using: &random) {
            steps[steps.count - 1].target = UInt16(SWA_TILE_NOWHERE)
            single[single.count - 1].target = UInt16(Self.handed)
            alone.a.index = UInt16(Self.handed)
          }
        }
        steps.append(step)
        single.append(alone)
      }
    }

    /// The block and registers 1 to 4 after a program, some steps at a time.
    func run(
      _ steps: [swa_tile_step], atOnce count: Int, rows: Int, width: Int, pitch: Int,
      _ kernels: swa_attention_kernels
    ) -> ArraySlice<UInt32> {
      var floats = floats
      floats.withUnsafeMutableBufferPointer { floats in
        guard let base = floats.baseAddress else { return }
        var external = swa_tile_external(base: base + 6 * Self.size, pitch: pitch)
        withUnsafePointer(to: &external) { external in
          var memory = swa_tile_memory()
          (memory.block, memory.block_pitch) = (base, pitch)
          (memory.registers, memory.register_pitch) = (base + Self.size, pitch)
          memory.register_size = Self.size
          memory.columns = UnsafePointer(base + 7 * Self.size)
          memory.column_pitch = Self.pitch
          memory.row_values = UnsafePointer(base + 7 * Self.size + 5 * Self.pitch)
          memory.row_value_pitch = Self.rows
          memory.externals = external
          (memory.first, memory.masked) = (7, -.infinity)
          steps.withUnsafeBufferPointer { steps in
            for first in stride(from: 0, to: steps.count, by: count) {
              kernels.run_tile(
                steps.baseAddress.map { $0 + first }, min(count, steps.count - first), &memory,
                rows, width)
            }
          }
        }
      }
      return floats.map(\.bitPattern)[..<(5 * Self.size)]
    }
  }

  @Test(arguments: levels)
  func chainsAreTheirSteps(level: InstructionSet) throws {
    let kernels = try CPUDevice(threads: 1, instructionSet: level).attentionKernels
    for seed in 0..<60 {
      let one = Case(
        seed: UInt64(seed), steps: seed % 3 == 0 ? 70 : 1 + seed % 9, blocksOnly: seed % 4 == 1)
      for (rows, width) in [(1, 16), (3, 48), (13, 112), (12, 128), (5, 144), (8, 16), (13, 32)] {
        for pitch in [width, Case.pitch] {
          let whole = one.run(
            one.steps, atOnce: one.steps.count, rows: rows, width: width, pitch: pitch, kernels)
          let single = one.run(
            one.single, atOnce: 1, rows: rows, width: width, pitch: pitch, kernels)
          #expect(whole == single, "seed \(seed), \(rows) x \(width), pitch \(pitch)")
        }
      }
    }
  }

  /// Copies of index lists: every number in its place, every mistake noticed.
  @Test(arguments: levels)
  func indexLists(level: InstructionSet) throws {
    let kernels = try CPUDevice(threads: 1, instructionSet: level).attentionKernels
    var random = Random(5)
    for count in [0, 1, 3, 15, 16, 63, 64, 65, 128, 200] {
      var numbers = (0..<count).map { _ in Int.random(in: 0..<Int(Int32.max), using: &random) }
      func narrowed() -> (most: Int, numbers: [Int32]) {
        var out = [Int32](repeating: -7, count: count + 1)
        let most = kernels.narrow_indices(numbers, count, &out)
        var plain = [Int32](repeating: -7, count: count + 1)
        kernels.narrow(numbers, count, &plain)
        #expect(out == plain && out[count] == -7)
        return (most, Array(out[..<count]))
      }
      let right = narrowed()
      #expect(right.most == numbers.max() ?? -1)
      #expect(right.numbers.map(Int.init) == numbers)
      for (i, number) in numbers.enumerated() {
        for wrong in [-1, .min, Int(Int32.max), 1 << 31, 1 << 32, .max] {
          numbers[i] = wrong
          #expect(narrowed().most == .min)
        }
        numbers[i] = number
      }
    }
  }

  @Test(arguments: levels)
  func pageLengths(level: InstructionSet) throws {
    let kernels = try CPUDevice(threads: 1, instructionSet: level).attentionKernels
    func lengths(_ offsets: [Int], _ last: [Int], _ pageSize: Int) -> [Int32]? {
      var out = [Int32](repeating: -7, count: last.count)
      return kernels.page_lengths(offsets, last, last.count, pageSize, &out) ? out : nil
    }
    for count in [1, 7, 16, 33] {
      let offsets = (0...count).map { $0 * $0 / 2 }
      let last = (0..<count).map { r -> Int in offsets[r + 1] == offsets[r] ? 0 : 1 + r % 8 }
      let expected = (0..<count).map { r -> Int32 in
        let pages: Int = offsets[r + 1] - offsets[r]
        return Int32(max(pages - 1, 0) * 8 + last[r])
      }
      #expect(lengths(offsets, last, 8) == expected)
      for r in 0..<count {
        let hasPages = offsets[r + 1] > offsets[r]
        for wrong in [-1, hasPages ? 0 : 1, 9, .max, .min] {
          var changed = last
          changed[r] = wrong
          #expect(lengths(offsets, changed, 8) == nil, "\(wrong) at \(r)")
        }
        var changed = offsets
        changed[r + 1] = changed[r] - 1
        #expect(lengths(changed, last, 8) == nil)
      }
    }
    let most = Int(Int32.max)
    #expect(lengths([0, 2], [1], most - 1) == [Int32.max])
    #expect(lengths([0, 2], [2], most - 1) == nil)
    #expect(lengths([0, 1 << 33], [1], 1 << 31) == nil)
  }
}
