import Devices
import Tensors
import Testing

private let combinations = InstructionSet.available.flatMap { level in
  ElementType.linear.map { (level, $0) }
}

/// Products of rounded activations (`LinearPrecision.fast`).
@Suite struct RoundedTests {
  /// Inputs around vectors, blocks and the pieces that kernels cut them into.
  static func inputs(_ type: ElementType) -> [Int] {
    switch type.blockLength {
    case 1: [1, 7, 40, 301]
    case 32: [32, 96, 1_056]
    default: [256, 1_280]
    }
  }

  @Test(arguments: combinations)
  func productsAgreeWithDouble(level: InstructionSet, type: ElementType) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 23)
    for n in [1, 16, 17, 33, 77] {
      for k in Self.inputs(type) {
        let stored = StoredMatrix(type, rows: n, columns: k, using: &random)
        let weights = try pack(stored, device)
        let x = Matrix.random(33, k, padding: 3, using: &random)
        let oracle = RoundedOracle(x, stored, Rounding(type, level))
        for m in [0, 1, 2, 3, 4, 5, 7, 12, 33] {
          let y = Matrix(m, n, padding: 5, filled: .nan)
          weights.multiply(x.view.rows(0..<m), into: y.view)
          #expect(oracle.largestError(y) <= 2e-6, "M \(m) N \(n) K \(k)")
          #expect(oracle.largestShare(y) <= 1, "M \(m) N \(n) K \(k)")
          #expect(y.paddingIsUntouched, "M \(m) N \(n) K \(k)")
        }
      }
    }
  }

  /// More rows than a block has, and more inputs than a piece.
  @Test(arguments: [ElementType.bfloat16, .q4_0, .q5_1, .q8_0, .q2_K, .q6_K])
  func blocksAndPiecesAgreeWithDouble(_ type: ElementType) throws {
    var random = SplitMix(state: 29)
    let (n, k) = (37, type.blockLength == 1 ? 2_301 : 2_304)
    let stored = StoredMatrix(type, rows: n, columns: k, using: &random)
    let x = Matrix.random(259, k, using: &random)
    for level in InstructionSet.available {
      let device = try CPUDevice(threads: 2, instructionSet: level)
      let oracle = RoundedOracle(x, stored, Rounding(type, level))
      let y = Matrix(259, n, filled: .nan)
      try pack(stored, device).multiply(x.view, into: y.view)
      #expect(oracle.largestError(y) <= 2e-6, "\(level)")
    }
  }

  /// Where it is asked for, a row's bits do not depend on how many rows there are, in any precision.
  @Test(arguments: combinations)
  func bitsDoNotDependOnTheNumberOfRows(level: InstructionSet, type: ElementType) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 37)
    // More inputs than a piece has.
    let (n, k) = (37, type.blockLength == 1 ? 2_301 : 2_304)
    let stored = StoredMatrix(type, rows: n, columns: k, using: &random)
    let x = Matrix.random(31, k, using: &random)
    let start = Matrix.random(31, n, using: &random)
    let bias = (0..<n).map { Float($0) * 0.01 }
    for precision in LinearPrecision.allCases {
      let weights = try stored.bytes.withUnsafeBytes {
        try LinearWeights(
          type, rows: n, columns: k, bytes: $0, bias: bias, precision: precision,
          device: device)
      }
      func product(_ rows: Range<Int>, accumulate: Bool) -> [UInt32] {
        let y = Matrix(rows.count, n, filled: .nan)
        if accumulate {
          for i in 0..<rows.count {
            y.view.row(i).update(from: start.view.row(rows.lowerBound + i), count: n)
          }
        }
        weights.multiply(
          x.view.rows(rows), into: y.view, accumulate: accumulate, isRowInvariant: true)
        return (0..<rows.count).flatMap { i in (0..<n).map { y.view.row(i)[$0].bitPattern } }
      }
      for accumulate in [false, true] {
        let single = (0..<31).flatMap { product($0..<$0 + 1, accumulate: accumulate) }
        for m in [2, 3, 4, 5, 6, 7, 13, 31] {
          let together = stride(from: 0, to: 31, by: m).flatMap {
            product($0..<min($0 + m, 31), accumulate: accumulate)
          }
          #expect(together == single, "\(precision), M \(m), accumulate \(accumulate)")
        }
      }
    }
  }

  @Test(arguments: [ElementType.bfloat16, .q4_1, .q8_0, .q3_K])
  func bitsDoNotDependOnThreads(_ type: ElementType) throws {
    var random = SplitMix(state: 31)
    let (n, k) = (777, 768)
    let stored = StoredMatrix(type, rows: n, columns: k, using: &random)
    let x = Matrix.random(300, k, using: &random)
    for level in InstructionSet.available {
      var first: [Int: [Float]] = [:]
      for threads in 1...3 {
        let weights = try pack(stored, CPUDevice(threads: threads, instructionSet: level))
        for m in [1, 4, 33, 300] {
          let y = Matrix(m, n, filled: .nan)
          weights.multiply(x.view.rows(0..<m), into: y.view)
          #expect(first[m, default: y.values] == y.values)
          first[m] = y.values
        }
      }
    }
  }

  @Test(arguments: [ElementType.float16, .q4_0, .q5_K, .q8_0], [1, 3, 50])
  func biasAndAccumulation(type: ElementType, m: Int) throws {
    var random = SplitMix(state: 37)
    let (n, k) = (21, 1_280)
    let stored = StoredMatrix(type, rows: n, columns: k, using: &random)
    let x = Matrix.random(m, k, using: &random)
    let bias = (0..<n).map { _ in Float.random(in: -1...1, using: &random) }
    for level in InstructionSet.available {
      let device = try CPUDevice(threads: 2, instructionSet: level)
      let y = Matrix(m, n, filled: .nan)
      try pack(stored, device).multiply(x.view, into: y.view)
      let z = Matrix(m, n, padding: 1, filled: 2)
      try pack(stored, device, bias: bias).multiply(x.view, into: z.view, accumulate: true)
      for i in 0..<m {
        for j in 0..<n {
          #expect(abs(z[i, j] - (y[i, j] + bias[j] + 2)) <= 1e-4 * (1 + abs(y[i, j])))
        }
      }
    }
  }

  /// Weights that want their activations rounded in four ways, one of them not at all.
  @Test(arguments: [1, 4, 9])
  func severalProductsAtOnce(_ m: Int) throws {
    let device = try CPUDevice(threads: 3)
    var random = SplitMix(state: 41)
    let x = Matrix.random(m, 512, using: &random)
    let types: [(ElementType, Int)] = [
      (.q4_K, 777), (.q6_K, 3), (.float32, 50), (.bfloat16, 20), (.q4_1, 40), (.q8_0, 5),
    ]
    let all = types.map { StoredMatrix($0, rows: $1, columns: 512, using: &random) }
    let weights = try all.map { try pack($0, device) }
    let together = all.map { Matrix(m, $0.rows, filled: .nan) }
    LinearWeights.multiply(
      x.view, zip(weights, together).map { LinearWeights.Product($0, into: $1.view) })
    for (weights, y) in zip(weights, together) {
      let alone = Matrix(m, weights.outputs, filled: .nan)
      weights.multiply(x.view, into: alone.view)
      #expect(alone.values == y.values)
    }
  }

  @Test(arguments: combinations)
  func whatIsNotFiniteStaysInItsRow(level: InstructionSet, type: ElementType) throws {
    let device = try CPUDevice(threads: 1, instructionSet: level)
    var random = SplitMix(state: 43)
    let stored = StoredMatrix(type, rows: 19, columns: 256, using: &random)
    let weights = try pack(stored, device)
    for m in [3, 8] {
      let x = Matrix.random(m, 256, using: &random)
      let clean = Matrix(m, 19, filled: .nan)
      weights.multiply(x.view, into: clean.view)
      x[1, 77] = .nan
      let y = Matrix(m, 19, filled: 0)
      weights.multiply(x.view, into: y.view)
      for i in 0..<m {
        for j in 0..<19 { #expect(i == 1 ? y[i, j].isNaN : y[i, j] == clean[i, j]) }
      }
      x[1, 77] = .infinity
      weights.multiply(x.view, into: y.view)
      #expect((0..<19).allSatisfy { !y[1, $0].isFinite })
    }
  }

  /// Rows of zeros, of tiny and of huge values.
  @Test(arguments: [ElementType.q4_0, .q4_1, .q8_0, .q6_K])
  func extremeRows(_ type: ElementType) throws {
    var random = SplitMix(state: 47)
    let stored = StoredMatrix(type, rows: 19, columns: 256, using: &random)
    for level in InstructionSet.available {
      let weights = try pack(stored, CPUDevice(threads: 1, instructionSet: level))
      let x = Matrix.random(3, 256, using: &random)
      for k in 0..<256 {
        x[0, k] = 0
        x[1, k] *= 0x1p-140
        x[2, k] *= 0x1p100
      }
      let y = Matrix(3, 19, filled: .nan)
      weights.multiply(x.view, into: y.view)
      #expect((0..<19).allSatisfy { y[0, $0] == 0 && abs(y[1, $0]) < 0x1p-90 })
      let huge = Matrix(1, 256, filled: 0)
      for k in 0..<256 { huge[0, k] = x[2, k] }
      let found = Matrix(1, 19, filled: 0)
      for j in 0..<19 { found[0, j] = y[2, j] }
      let oracle = RoundedOracle(huge, stored, Rounding(type, level))
      #expect(oracle.largestError(found) <= 2e-6)
    }
  }

  /// Half-precision weights become bfloat16 at packing: every half, NaN and infinity among them.
  @Test(.enabled(if: InstructionSet.avx512bf16.isAvailable, "this processor has no AVX-512 BF16"))
  func everyHalfIsRounded() throws {
    let device = try CPUDevice(threads: 1, instructionSet: .avx512bf16)
    let halves = (0...UInt16.max).map { $0 }
    let weights = try halves.withUnsafeBytes {
      try LinearWeights(
        .float16, rows: halves.count, columns: 1, bytes: $0, precision: .fast, device: device)
    }
    let x = Matrix(1, 1, filled: 1)
    let y = Matrix(1, halves.count, filled: 0)
    weights.multiply(x.view, into: y.view)
    for half in halves {
      let expected = Float(BFloat16(Float(Float16(bitPattern: half))))
      let found = y[0, Int(half)]
      #expect(found == expected || found.isNaN && expected.isNaN, "half \(half)")
    }
  }

  private func pack(_ stored: StoredMatrix, _ device: CPUDevice, bias: [Float]? = nil) throws
    -> LinearWeights
  {
    try stored.bytes.withUnsafeBytes {
      try LinearWeights(
        stored.type, rows: stored.rows, columns: stored.columns, bytes: $0, bias: bias,
        precision: .fast, device: device)
    }
  }
}
