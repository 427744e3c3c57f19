import Devices
import Tensors
import Testing

/// What holds for products of either precision.
@Suite struct LinearProductTests {
  @Test(
    arguments: LinearPrecision.allCases,
    [ElementType.float32, .bfloat16, .q4_1, .q8_0, .q3_K, .q6_K])
  func bitsDoNotDependOnThreads(precision: LinearPrecision, type: ElementType) throws {
    var random = SplitMix(state: 11)
    let (n, k) = (777, 768)
    let stored = StoredMatrix(type, rows: n, columns: k, using: &random)
    let x = Matrix.random(300, k, using: &random)
    for level in InstructionSet.available {
      var first: [Int: [Float]] = [:]
      for threads in 1...3 {
        let device = try CPUDevice(threads: threads, instructionSet: level)
        let weights = try stored.packed(device, precision: precision)
        for m in [1, 4, 33, 300] {
          let y = Matrix(m, n, filled: .nan)
          weights.multiply(x.view.rows(0..<m), into: y.view)
          #expect(first[m, default: y.values] == y.values)
          first[m] = y.values
        }
      }
    }
  }

  @Test(arguments: LinearPrecision.allCases, [ElementType.float16, .q4_0, .q5_K, .q8_0])
  func biasAndAccumulation(precision: LinearPrecision, type: ElementType) throws {
    var random = SplitMix(state: 13)
    let (n, k) = (21, 1_280)
    let stored = StoredMatrix(type, rows: n, columns: k, using: &random)
    let bias = (0..<n).map { _ in Float.random(in: -1...1, using: &random) }
    for m in [1, 3, 50] {
      let x = Matrix.random(m, k, using: &random)
      for level in InstructionSet.available {
        let device = try CPUDevice(threads: 2, instructionSet: level)
        let plain = try stored.packed(device, precision: precision)
        let biased = try stored.packed(device, bias: bias, precision: precision)
        let y = Matrix(m, n, filled: .nan)
        plain.multiply(x.view, into: y.view)
        let z = Matrix(m, n, padding: 1, filled: 2)
        biased.multiply(x.view, into: z.view, accumulate: true)
        for i in 0..<m {
          for j in 0..<n {
            #expect(abs(z[i, j] - (y[i, j] + bias[j] + 2)) <= 1e-4 * (1 + abs(y[i, j])))
          }
        }
      }
    }
  }

  /// Fast weights among these want their activations rounded in four ways, one of them not at all.
  @Test(arguments: LinearPrecision.allCases, [1, 4, 9])
  func severalProductsAtOnce(precision: LinearPrecision, m: Int) throws {
    let device = try CPUDevice(threads: 3)
    var random = SplitMix(state: 17)
    let x = Matrix.random(m, 512, using: &random)
    let types: [(ElementType, Int)] = [
      (.q4_K, 777), (.q6_K, 3), (.float32, 50), (.bfloat16, 20), (.q4_1, 40), (.q8_0, 5),
    ]
    let all = types.map { StoredMatrix($0, rows: $1, columns: 512, using: &random) }
    let weights = try all.map { try $0.packed(device, precision: precision) }
    let together = all.map { Matrix(m, $0.rows, filled: .nan) }
    LinearWeights.multiply(
      x.view, zip(weights, together).map { LinearWeights.Product($0, into: $1.view) })
    for (weights, y) in zip(weights, together) {
      let alone = Matrix(m, weights.outputs, filled: .nan)
      weights.multiply(x.view, into: alone.view)
      #expect(alone.values == y.values)
    }
  }
}
