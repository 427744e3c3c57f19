import Devices
import Foundation
import Tensors
import Testing

/// Large products against sums in Double, at every level of the machine.
@Suite struct ProductTests {
  struct Case: CustomTestStringConvertible {
    var rows, columns, depth: Int
    var left, right: Bool
    var precision: ProductPrecision
    var testDescription: String { "\(rows)x\(columns)x\(depth) \(left) \(right) \(precision)" }
  }

  static let cases: [Case] = [(1, 1, 1), (13, 37, 5), (150, 33, 300), (25, 100, 1037)].flatMap {
    size in
    [(false, false), (false, true), (true, false), (true, true)].flatMap { left, right in
      ProductPrecision.allCases.map {
        Case(
          rows: size.0, columns: size.1, depth: size.2, left: left, right: right, precision: $0)
      }
    }
  }

  /// A matrix with room beside its columns, the room and all else NaN at first.
  private static func matrix(_ rows: Int, _ columns: Int) -> (AlignedBuffer, MatrixView) {
    let buffer = AlignedBuffer(byteCount: rows * (columns + 3) * 4)
    let floats = buffer.elements(Float.self)
    floats.update(repeating: .nan)
    let base = floats.baseAddress.unsafelyUnwrapped
    return (buffer, MatrixView(base, rows: rows, columns: columns, stride: columns + 3))
  }

  @Test(arguments: cases, InstructionSet.available)
  func followsDouble(one: Case, level: InstructionSet) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: UInt64(one.rows * 1000 + one.depth))
    func fill(_ x: MatrixView) {
      for row in 0..<x.rows {
        for column in 0..<x.columns {
          x.row(row)[column] = Float(random.next() >> 40) * 0x1p-23 - 1
        }
      }
    }
    let (keepA, a) =
      one.left ? Self.matrix(one.depth, one.rows) : Self.matrix(one.rows, one.depth)
    let (keepB, b) =
      one.right ? Self.matrix(one.columns, one.depth) : Self.matrix(one.depth, one.columns)
    let (keepC, c) = Self.matrix(one.rows, one.columns)
    defer { withExtendedLifetime((keepA, keepB, keepC)) {} }
    fill(a)
    fill(b)
    let bias = (0..<one.columns).map { Float($0) / 16 - 1 }
    bias.withUnsafeBufferPointer { bias in
      device.multiply(
        ProductFactor(a, isTransposed: one.left), ProductFactor(b, isTransposed: one.right),
        into: c, bias: bias.baseAddress, rectify: true, precision: one.precision)
    }
    func rounded(_ x: Float) -> Double {
      Double(one.precision == .bfloat16 ? Float(BFloat16(x)) : x)
    }
    func expected(_ m: Int, _ n: Int) -> (sum: Double, size: Double) {
      var (sum, size) = (0.0, 1e-3)
      for k in 0..<one.depth {
        let term =
          rounded(one.left ? a.row(k)[m] : a.row(m)[k])
          * rounded(one.right ? b.row(n)[k] : b.row(k)[n])
        sum += term
        size += abs(term)
      }
      return (sum, size)
    }
    var worst = 0.0
    for m in 0..<one.rows {
      for n in 0..<one.columns {
        let (sum, size) = expected(m, n)
        let found = Double(c.row(m)[n])
        worst = max(worst, abs(found - max(sum + Double(bias[n]), 0)) / size)
        if found.isNaN { worst = .infinity }
      }
      #expect(c.row(m)[one.columns].isNaN)
    }
    #expect(worst <= 2e-6)

    // A second product is added; nothing is rectified.
    device.multiply(
      ProductFactor(a, isTransposed: one.left), ProductFactor(b, isTransposed: one.right), into: c,
      precision: one.precision)
    let before = (0..<one.rows).map { c.row($0)[0] }
    device.multiply(
      ProductFactor(a, isTransposed: one.left), ProductFactor(b, isTransposed: one.right), into: c,
      accumulate: true, precision: one.precision)
    for m in 0..<one.rows {
      let size = Float(expected(m, 0).size)
      #expect(abs(c.row(m)[0] - 2 * before[m]) <= 2e-6 * size)
    }
  }

  /// Which elements are dropped follows from seed, row, draw and place, as documented.
  @Test(arguments: InstructionSet.available)
  func dropoutFollowsPhilox(level: InstructionSet) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    let (keep, x) = Self.matrix(5, 203)
    defer { withExtendedLifetime(keep) {} }
    for row in 0..<5 { for i in 0..<203 { x.row(row)[i] = Float(i + 1) } }
    let random = CounterRandom(seed: 0x1234_5678_9ABC)
    device.dropout(x, rate: 0.25, random: random, draw: 77)
    for row in 0..<5 {
      for i in 0..<203 {
        let block = UInt64(i / 64 * 16 + i % 16)
        let word = random.words(UInt64(row) << 32 | block, draw: 77)[i % 64 / 16]
        let expected = word < 1 << 30 ? 0 : Float(i + 1) / 0.75
        #expect(abs(x.row(row)[i] - expected) <= 1e-6 * Float(i + 1))
      }
      #expect(x.row(row)[203].isNaN)
    }
  }

  /// The largest logits, in order, with their log-probabilities.
  @Test(arguments: InstructionSet.available)
  func topLogProbabilities(level: InstructionSet) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    let (keep, x) = Self.matrix(3, 77)
    defer { withExtendedLifetime(keep) {} }
    var random = SplitMix(state: 3)
    for row in 0..<3 {
      for i in 0..<77 { x.row(row)[i] = Float(random.next() % 64) / 8 }
      x.row(row)[76] = row == 1 ? 99 : 0
    }
    let best = device.topLogProbabilities(x, count: 9)
    for row in 0..<3 {
      let logits = (0..<77).map { Double(x.row(row)[$0]) }
      let order = logits.indices.sorted { (-logits[$0], $0) < (-logits[$1], $1) }.prefix(9)
      #expect(best[row].map(\.token) == Array(order))
      var sum = 0.0
      for value in logits { sum += exp(value) }
      for (token, logProbability) in best[row] {
        #expect(abs(Double(logProbability) - (logits[token] - log(sum))) <= 1e-5)
      }
    }
  }
}
