import Devices
import Glibc
import Tensors
import Testing

@Suite struct RotaryTests {
  @Test(
    arguments: InstructionSet.available,
    [RotaryEmbedding.Pairing.adjacent, .halves])
  func pairsTurn(level: InstructionSet, pairing: RotaryEmbedding.Pairing) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 47)
    for (dimension, head) in [(2, 2), (6, 6), (64, 64), (20, 33), (128, 130)] {
      let embedding = try RotaryEmbedding(pairing: pairing, dimension: dimension, base: 1e5)
      var table = RotaryTable(embedding)
      let positions = [0, 1, 7, 131_071, 1_000_003]
      table.fill(positions: positions)
      let x = Matrix.random(positions.count, 3 * head, padding: 1, using: &random)
      let original = x.values
      try device.rotate(x.view, heads: 3, by: table)
      for (row, position) in positions.enumerated() {
        for h in 0..<3 {
          let start = h * head
          for i in 0..<dimension / 2 {
            let (a, b) = pairing == .adjacent ? (2 * i, 2 * i + 1) : (i, i + dimension / 2)
            let angle = Double(position) * pow(1e5, -2 * Double(i) / Double(dimension))
            let u = Double(original[row * 3 * head + start + a])
            let v = Double(original[row * 3 * head + start + b])
            let first = u * cos(angle) - v * sin(angle)
            let second = u * sin(angle) + v * cos(angle)
            #expect(abs(Double(x[row, start + a]) - first) <= 3e-7)
            #expect(abs(Double(x[row, start + b]) - second) <= 3e-7)
          }
          for i in dimension..<head {
            #expect(x[row, start + i] == original[row * 3 * head + start + i])
          }
        }
      }
      #expect(x.paddingIsUntouched)
    }
  }

  @Test func copiesOfATableAreIndependent() throws {
    let device = try CPUDevice(threads: 1)
    var table = RotaryTable(try RotaryEmbedding(pairing: .halves, dimension: 2))
    table.fill(positions: [1])
    let copy = table
    table.fill(positions: [2])
    let x = Matrix(1, 2, filled: 1)
    try device.rotate(x.view, heads: 1, by: copy)
    #expect(abs(Double(x[0, 0]) - (cos(1.0) - sin(1.0))) < 1e-6)
  }

  @Test func linearAndPerFrequencyScaling() throws {
    let plain = try RotaryEmbedding(pairing: .halves, dimension: 8)
    let linear = try RotaryEmbedding(
      pairing: .halves, dimension: 8, scaling: .linear(factor: 4))
    let each = try RotaryEmbedding(
      pairing: .halves, dimension: 8, scaling: .perFrequency([1, 2, 4, 8]))
    for i in 0..<4 {
      #expect(abs(linear.frequencies[i] / plain.frequencies[i] - 0.25) < 1e-15)
      #expect(abs(each.frequencies[i] * Double(1 << i) / plain.frequencies[i] - 1) < 1e-15)
    }
    #expect(plain.amplitude == 1)
  }

  /// Values of Hugging Face transformers' `rope_init_fn` "llama3": dim 8, base 500000, factor 8,
  /// low 1, high 4, context 8192, rounded there to 32-bit floats.
  @Test func llama3Scaling() throws {
    let scaled = try RotaryEmbedding(
      pairing: .halves, dimension: 8, base: 500_000,
      scaling: .llama3(
        factor: 8, lowFrequencyFactor: 1, highFrequencyFactor: 4, originalContext: 8_192))
    let expected: [Double] = [1, 0.037606031, 0.00052484602, 6.6478697e-06]
    for (found, value) in zip(scaled.frequencies, expected) {
      #expect(abs(found / value - 1) < 1e-6)
    }
  }

  /// Values of transformers' "yarn": dim 16, base 10000, factor 4, context 2048.
  @Test func yarnScaling() throws {
    let scaled = try RotaryEmbedding(
      pairing: .halves, dimension: 16, scaling: .yarn(factor: 4, originalContext: 2_048))
    let expected: [Double] = [
      1, 0.31622776, 0.1, 0.025693506, 0.0062499996, 0.0013834966, 0.00025000001, 7.9056947e-05,
    ]
    let amplitude = 1.13862943611
    for (found, value) in zip(scaled.frequencies, expected) {
      #expect(abs(found / value - 1) < 1e-6)
    }
    #expect(abs(scaled.amplitude - amplitude) < 1e-9)
  }

  @Test func hostileParametersAreRefused() {
    for dimension in [0, -2, 7] {
      #expect(throws: RotaryEmbedding.Failure.dimension(dimension)) {
        try RotaryEmbedding(pairing: .halves, dimension: dimension)
      }
    }
    for base in [0, -1, Double.infinity, .nan] {
      #expect(throws: RotaryEmbedding.Failure.self) {
        try RotaryEmbedding(pairing: .halves, dimension: 2, base: base)
      }
    }
    #expect(throws: RotaryEmbedding.Failure.factorCount(expected: 2, found: 1)) {
      try RotaryEmbedding(pairing: .halves, dimension: 4, scaling: .perFrequency([1]))
    }
    #expect(throws: RotaryEmbedding.Failure.parameter("factor", 0)) {
      try RotaryEmbedding(pairing: .halves, dimension: 4, scaling: .linear(factor: 0))
    }
  }
}
