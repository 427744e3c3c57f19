import Devices
import Glibc
import Tensors
import Testing

private let levels = InstructionSet.available

@Suite struct RenormalizationTests {
  /// Rows that are hard in different ways.
  private static func rows(_ count: Int) -> [[Float]] {
    var random = SplitMix(state: UInt64(count))
    let even = (0..<count).map { _ in Float.random(in: 0...1, using: &random) }
    let steep = (0..<count).map { _ in exp(Float.random(in: -30...0, using: &random)) }
    let few = (0..<count).map { _ in Float(Int.random(in: 0...3, using: &random)) / 4 }
    let equal = [Float](repeating: 0.25, count: count)
    var one = [Float](repeating: 0, count: count)
    one[count / 2] = 1
    var odd = steep
    for i in stride(from: 1, to: count, by: 5) { odd[i] = [.nan, 0, -1][i % 3] }
    return [even, steep, few, equal, one, odd]
  }

  @Test(arguments: levels, [1, 2, 40, 64, 333, 5_003])
  func topK(level: InstructionSet, count: Int) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    let rows = Self.rows(count)
    let x = Matrix(rows: rows)
    for topK in [1, 3, 37, count / 2 + 1, count, count + 9] {
      let y = Matrix(rows.count, count, padding: 2, filled: .nan)
      try device.topKRenormalize(x.view, topK: [topK], into: y.view)
      let mask = Matrix(rows.count, count, padding: 2, filled: .nan)
      try device.topKMaskLogits(x.view, topK: [topK], into: mask.view)
      for (i, row) in rows.enumerated() {
        let kept = Set(Distribution.order(row.map(Double.init)).prefix(topK))
        let sum = kept.reduce(0) { $0 + max(Double(row[$1]), 0) }
        for j in 0..<count {
          let stays = kept.contains(j)
          #expect(mask[i, j] == (stays ? row[j] : -.infinity))
          let exact = stays && row[j] > 0 ? Double(row[j]) / sum : 0
          #expect(abs(Double(y[i, j]) - exact) <= 1e-6 * exact)
        }
      }
      #expect(y.paddingIsUntouched && mask.paddingIsUntouched)
    }
  }

  @Test(arguments: levels, [1, 2, 40, 64, 333, 5_003])
  func topP(level: InstructionSet, count: Int) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    let rows = Self.rows(count)
    for share: Float in [1e-7, 0.1, 0.5, 0.9, 0.999, 1] {
      let x = Matrix(rows: rows)
      try device.topPRenormalize(x.view, topP: [share], into: x.view)
      for (i, row) in rows.enumerated() {
        let p = Distribution.normalised(row.map { $0 > 0 ? Double($0) : 0 })
        let order = Distribution.order(p).filter { p[$0] > 0 }
        // Where the sum meets the share but for rounding, one more or less is right too.
        var mass = 0.0
        var (least, most) = (0, 0)
        for token in order {
          if mass < Double(share) - 1e-6 { least += 1 }
          if mass < Double(share) + 1e-6 { most += 1 }
          mass += p[token]
        }
        let kept = order.filter { x[i, $0] != 0 }
        #expect((least...most).contains(kept.count), "row \(i), \(share)")
        #expect(kept == Array(order.prefix(kept.count)))
        let sum = kept.reduce(0) { $0 + p[$1] }
        for token in kept {
          #expect(abs(Double(x[i, token]) - p[token] / sum) <= 2e-6 * p[token] / sum)
        }
        for j in 0..<count where p[j] == 0 { #expect(x[i, j] == 0) }
      }
      #expect(x.paddingIsUntouched)
    }
  }

  /// A vocabulary's size, where every path of the search is taken, against a sort.
  @Test(arguments: [0.02, 0.7, 3] as [Float], [7, 700, 3_000, 60_000])
  func largeRows(spread: Float, topK: Int) throws {
    let device = try CPUDevice(threads: 1)
    var random = SplitMix(state: 77)
    let count = 151_936
    let row = (0..<count).map { _ in
      spread * (0..<12).reduce(-6) { sum, _ in sum + Float.random(in: 0..<1, using: &random) }
    }
    let x = Matrix(rows: [row])
    let y = Matrix(1, count, filled: .nan)
    try device.topKMaskLogits(x.view, topK: [topK], into: y.view)
    let kept = Set(Distribution.order(row.map(Double.init)).prefix(topK))
    #expect((0..<count).allSatisfy { y[0, $0] == (kept.contains($0) ? row[$0] : -.infinity) })
  }

  @Test(arguments: levels)
  func infinitiesAndNaN(level: InstructionSet) throws {
    let device = try CPUDevice(threads: 1, instructionSet: level)
    let inf = Float.infinity
    let x = Matrix(rows: [
      [inf, 1, inf, 2, -inf, .nan, inf], [-inf, -inf, .nan, -inf, -inf, -inf, -inf],
      [.nan, .nan, .nan, .nan, .nan, .nan, .nan],
      [.nan, -3e38, 3e38, -0.0, 0, 0x1p-149, -0x1p-149],
    ])
    for topK in 1...7 {
      let y = Matrix(4, 7, filled: .nan)
      try device.topKMaskLogits(x.view, topK: [topK], into: y.view)
      for i in 0..<4 {
        let row = (0..<7).map { Double(x[i, $0]) }
        let kept = Set(Distribution.order(row).prefix(topK))
        for j in 0..<7 { #expect(y[i, j] == (kept.contains(j) ? x[i, j] : -inf)) }
      }
    }
  }

  @Test func rowsHaveTheirOwnParameters() throws {
    let device = try CPUDevice(threads: 1)
    let x = Matrix(rows: [[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    let y = Matrix(2, 4, filled: .nan)
    let (three, four): (Float, Float) = (0.3 / 0.7, 0.4 / 0.7)
    try device.topKRenormalize(x.view, topK: [1, 2], into: y.view)
    check(y, [0, 0, 0, 1, four, three, 0, 0])
    try device.topPRenormalize(x.view, topP: [0.65, 0.35], into: y.view)
    check(y, [0, 0, three, four, 1, 0, 0, 0])
  }

  private func check(_ y: Matrix, _ expected: [Float]) {
    for (found, value) in zip(y.values, expected) { #expect(abs(found - value) <= 1e-6) }
  }
}
