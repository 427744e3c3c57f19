import Devices
import Tensors
import Testing

private let levels = InstructionSet.available
private let widths = [1, 5, 16, 63, 576, 1_025]

@Suite struct NormTests {
  @Test(arguments: levels, widths)
  func rmsNorm(level: InstructionSet, width: Int) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 23)
    for (rows, heads) in [(0, 1), (1, 1), (3, 2), (40, 1)] {
      let x = Matrix.random(rows, width * heads, padding: 3, in: -3...5, using: &random)
      let weight = (0..<width).map { _ in Float.random(in: -2...2, using: &random) }
      let y = Matrix(rows, width * heads, padding: 1, filled: .nan)
      try device.rmsNorm(x.view, weight: weight, epsilon: 1e-5, heads: heads, into: y.view)
      for i in 0..<rows {
        for head in 0..<heads {
          let part = (0..<width).map { Double(x[i, head * width + $0]) }
          let scale = 1 / (part.reduce(0) { $0 + $1 * $1 } / Double(width) + 1e-5).squareRoot()
          for j in 0..<width {
            let exact = part[j] * scale * Double(weight[j])
            #expect(abs(Double(y[i, head * width + j]) - exact) <= 1e-6 * abs(exact))
          }
        }
      }
      #expect(y.paddingIsUntouched)
    }
  }

  @Test(arguments: levels, widths)
  func fusedAddRMSNorm(level: InstructionSet, width: Int) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 29)
    let delta = Matrix.random(5, width, using: &random)
    let residual = Matrix.random(5, width, padding: 2, using: &random)
    let weight = (0..<width).map { _ in Float.random(in: 0...2, using: &random) }
    let sum = Matrix(5, width, filled: 0)
    for i in 0..<5 { for j in 0..<width { sum[i, j] = delta[i, j] + residual[i, j] } }
    let expected = Matrix(5, width, filled: .nan)
    try device.rmsNorm(sum.view, weight: weight, epsilon: 1e-6, into: expected.view)
    let y = Matrix(5, width, filled: .nan)
    try device.fusedAddRMSNorm(
      delta.view, residual: residual.view, weight: weight, epsilon: 1e-6, into: y.view)
    #expect(residual.values == sum.values)
    #expect(y.values == expected.values)
  }

  @Test(arguments: levels, widths)
  func layerNorm(level: InstructionSet, width: Int) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 31)
    let weight = (0..<width).map { _ in Float.random(in: -2...2, using: &random) }
    let bias = (0..<width).map { _ in Float.random(in: -2...2, using: &random) }
    for terms in [nil, bias] {
      let x = Matrix.random(7, width, in: 1...9, using: &random)
      let original = x.values
      try device.layerNorm(x.view, weight: weight, bias: terms, epsilon: 1e-5, into: x.view)
      for i in 0..<7 {
        let row = original[i * width..<(i + 1) * width].map(Double.init)
        let mean = row.reduce(0, +) / Double(width)
        let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
        for j in 0..<width {
          let exact =
            (row[j] - mean) / (variance + 1e-5).squareRoot() * Double(weight[j])
            + Double(terms?[j] ?? 0)
          // A single element minus its own mean is 0 but for rounding, which ε does not hide.
          #expect(abs(Double(x[i, j]) - exact) <= 1e-5)
        }
      }
    }
  }

  @Test(arguments: levels, widths)
  func gemmaNorms(level: InstructionSet, width: Int) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 33)
    let delta = Matrix.random(4, width, padding: 1, using: &random)
    let residual = Matrix.random(4, width, padding: 2, using: &random)
    let weight = (0..<width).map { _ in Float.random(in: -0.5...2, using: &random) }
    let sum = Matrix(4, width, filled: 0)
    for i in 0..<4 { for j in 0..<width { sum[i, j] = delta[i, j] + residual[i, j] } }
    let y = Matrix(4, width, padding: 1, filled: .nan)
    try device.gemmaRMSNorm(sum.view, weight: weight, epsilon: 1e-6, into: y.view)
    for i in 0..<4 {
      let square = (0..<width).reduce(0) { $0 + Double(sum[i, $1]) * Double(sum[i, $1]) }
      let scale = 1 / (square / Double(width) + 1e-6).squareRoot()
      for j in 0..<width {
        let exact = Double(sum[i, j]) * scale * (1 + Double(weight[j]))
        #expect(abs(Double(y[i, j]) - exact) <= 1e-6 * abs(exact))
      }
    }
    // The result may replace the delta.
    try device.gemmaFusedAddRMSNorm(
      delta.view, residual: residual.view, weight: weight, epsilon: 1e-6, into: delta.view)
    #expect(residual.values == sum.values)
    #expect(delta.values == y.values)
    #expect(y.paddingIsUntouched && delta.paddingIsUntouched && residual.paddingIsUntouched)
  }

  @Test func shapesAreChecked() throws {
    let device = try CPUDevice(threads: 1)
    let (x, y) = (Matrix(2, 6, filled: 0), Matrix(3, 6, filled: 0))
    #expect(
      throws: CPUDevice.OperatorFailure.shape(
        operation: "rmsNorm", argument: "a matrix", expected: "2 × 6", found: "3 × 6")
    ) { try device.rmsNorm(x.view, weight: [], epsilon: 1e-5, into: y.view) }
    #expect(
      throws: CPUDevice.OperatorFailure.shape(
        operation: "gemmaRMSNorm", argument: "weight", expected: "6 / 2 elements", found: "6")
    ) {
      try device.gemmaRMSNorm(
        x.view, weight: [1, 1, 1, 1, 1, 1], epsilon: 1e-5, heads: 2, into: x.view)
    }
    #expect(throws: CPUDevice.OperatorFailure.self) {
      try device.rmsNorm(x.view, weight: [], epsilon: 1e-5, heads: 0, into: x.view)
    }
    #expect(throws: CPUDevice.OperatorFailure.self) {
      try device.fusedAddRMSNorm(
        x.view, residual: x.view, weight: [1], epsilon: 1e-5, into: x.view)
    }
    #expect(throws: CPUDevice.OperatorFailure.self) {
      try device.layerNorm(
        x.view, weight: [1, 1, 1, 1, 1, 1], bias: [0], epsilon: 1e-5, into: x.view)
    }
  }
}
