import Attention
import CMicrokernels
import Devices
import Testing

/// Tile programs at every level: a chain of steps does what the steps do one by one.
@Suite struct TileProgramTests {
  static let levels = InstructionSet.available

  @Test(arguments: levels)
  func chainsAreTheirSteps(level: InstructionSet) throws {
    let kernels = try CPUDevice(threads: 1, instructionSet: level).attentionKernels
    for seed in 0..<60 {
      let one = TileProgramCase(
        seed: UInt64(seed), steps: seed % 3 == 0 ? 70 : 1 + seed % 9, blocksOnly: seed % 4 == 1)
      for (rows, width) in [(1, 16), (3, 48), (13, 112), (12, 128), (5, 144), (8, 16), (13, 32)] {
        for pitch in [width, TileProgramCase.pitch] {
          func run(_ steps: [swa_tile_step], atOnce count: Int) -> [UInt32] {
            one.run(rows: rows, pitch: pitch) { memory in
              for first in stride(from: 0, to: steps.count, by: count) {
                let some = Array(steps[first..<min(first + count, steps.count)])
                kernels.run_tile(some, some.count, &memory, rows, width)
              }
            }
          }
          let whole = run(one.steps, atOnce: one.steps.count)
          let single = run(one.single, atOnce: 1)
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
