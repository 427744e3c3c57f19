import Devices
import Glibc
import Tensors
import Testing

private let levels = InstructionSet.available

@Suite struct ElementwiseTests {
  /// Values over the whole range where activations can lie, and zeros of both signs.
  static let values: [Float] =
    stride(from: -30, through: 30, by: 0.037).map { Float($0) } + [0, -0.0, 1e-30, -1e-30, 80, -80]

  @Test(arguments: levels)
  func siluAndMultiply(_ level: InstructionSet) throws {
    try checkGated(level, { try $0.siluAndMultiply($1, $2, into: $3) }) { $0 / (1 + exp(-$0)) }
  }

  @Test(arguments: levels)
  func geluTanhAndMultiply(_ level: InstructionSet) throws {
    try checkGated(level, { try $0.geluTanhAndMultiply($1, $2, into: $3) }) { x in
      let u = (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
      return x / (1 + exp(-2 * u))
    }
  }

  @Test(arguments: levels)
  func geluAndMultiply(_ level: InstructionSet) throws {
    try checkGated(level, { try $0.geluAndMultiply($1, $2, into: $3) }) {
      0.5 * $0 * erfc(-$0 / 2.squareRoot())
    }
  }

  private func checkGated(
    _ level: InstructionSet, _ run: (CPUDevice, MatrixView, MatrixView, MatrixView) throws -> Void,
    _ exact: (Double) -> Double
  ) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    let count = Self.values.count
    let gate = Matrix(33, count, padding: 1, filled: 0)
    let up = Matrix(33, count, filled: 0)
    for i in 0..<33 {
      for j in 0..<count { (gate[i, j], up[i, j]) = (Self.values[j], Float(i) - 7.5) }
    }
    let y = Matrix(33, count, padding: 2, filled: .nan)
    try run(device, gate.view, up.view, y.view)
    for i in 0..<33 {
      for j in 0..<count {
        let expected = exact(Double(gate[i, j])) * Double(up[i, j])
        // The exponent's argument is rounded: its size times 2^-24 is a relative error.
        let tolerance = 1e-6 + 4e-7 * exponent(Double(gate[i, j]))
        #expect(abs(Double(y[i, j]) - expected) <= tolerance * abs(expected) + 1e-36)
      }
    }
    #expect(y.paddingIsUntouched)
    try run(device, gate.view, up.view, gate.view)
    #expect(gate.values == y.values)
  }

  /// A bound of what GELU's tanh form exponentiates.
  private func exponent(_ x: Double) -> Double { min(abs(x) + 0.08 * abs(x * x * x), 100) }

  @Test(arguments: levels)
  func gelu(_ level: InstructionSet) throws {
    let device = try CPUDevice(threads: 1, instructionSet: level)
    let count = Self.values.count
    let x = Matrix(1, count, filled: 0)
    for j in 0..<count { x[0, j] = Self.values[j] }
    let y = Matrix(1, count, filled: .nan)
    try device.gelu(x.view, into: y.view)
    for j in 0..<count {
      let value = Double(x[0, j])
      let expected = 0.5 * value * erfc(-value / 2.squareRoot())
      let tolerance = 1e-6 + 2e-7 * value * value
      #expect(abs(Double(y[0, j]) - expected) <= tolerance * abs(expected) + 1e-36, "\(value)")
    }
  }

  @Test(arguments: levels, [0, 1, 7, 16, 1_000])
  func addAndScale(level: InstructionSet, width: Int) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 37)
    let x = Matrix.random(50, width, using: &random)
    let y = Matrix.random(50, width, padding: 3, using: &random)
    let expected = zip(x.values, y.values).map { ($0 + $1) * 0.3 }
    try device.add(x.view, to: y.view)
    device.scale(y.view, by: 0.3)
    #expect(y.values == expected)
    #expect(y.paddingIsUntouched)
  }

  @Test(arguments: levels, [1, 2, 15, 100, 4_097])
  func softmax(level: InstructionSet, width: Int) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 41)
    let x = Matrix.random(9, width, padding: 1, in: -20...20, using: &random)
    x[1, width - 1] = -.infinity
    for j in 0..<width { x[2, j] = -.infinity }
    x[3, 0] = .nan
    x[4, width / 2] = 3e38
    let original = x.values
    try device.softmax(x.view)
    for i in [0, 1, 4, 5, 6, 7, 8] where !(i == 1 && width == 1) {
      let row = original[i * width..<(i + 1) * width].map(Double.init)
      let largest = row.max() ?? 0
      let sum = row.reduce(0) { $0 + exp($1 - largest) }
      for j in 0..<width {
        let expected = exp(row[j] - largest) / sum
        #expect(abs(Double(x[i, j]) - expected) <= 5e-6 * expected + 1e-38)
      }
    }
    for j in 0..<width {
      #expect(x[2, j] == 0)
      #expect(x[3, j].isNaN)
    }
    #expect(x.paddingIsUntouched)
  }

  @Test(arguments: levels)
  func softmaxWithTemperatures(level: InstructionSet) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 42)
    let x = Matrix.random(3, 77, in: -20...20, using: &random)
    let original = x.values
    let temperatures: [Float] = [0.5, 1e-30, 30]
    try device.softmax(x.view, temperatures: temperatures)
    for i in 0..<3 {
      let row = original[i * 77..<(i + 1) * 77].map { Double($0) / Double(temperatures[i]) }
      let largest = row.max() ?? 0
      let sum = row.reduce(0) { $0 + exp($1 - largest) }
      for j in 0..<77 {
        let expected = exp(row[j] - largest) / sum
        #expect(abs(Double(x[i, j]) - expected) <= 2e-5 * expected + 1e-38)
      }
    }
    let none = CPUDevice.OperatorFailure.value(
      operation: "softmax", argument: "temperatures", index: 1, expected: "a finite number above 0",
      found: "0.0")
    #expect(throws: none) { try device.softmax(x.view, temperatures: [1, 0, 1]) }
    #expect(
      throws: CPUDevice.OperatorFailure.shape(
        operation: "softmax", argument: "temperatures", expected: "1 or 3 elements", found: "2")
    ) { try device.softmax(x.view, temperatures: [1, 2]) }
  }

  @Test func shapesAreChecked() throws {
    let device = try CPUDevice(threads: 1)
    let (a, b) = (Matrix(2, 3, filled: 0), Matrix(2, 4, filled: 0))
    for operation: (MatrixView, MatrixView) throws -> Void in [
      { try device.add($0, to: $1) }, { try device.gelu($0, into: $1) },
      { try device.siluAndMultiply($0, $1, into: $1) },
      { try device.geluTanhAndMultiply($0, $0, into: $1) },
      { try device.geluAndMultiply($0, $0, into: $1) },
    ] {
      #expect(throws: CPUDevice.OperatorFailure.self) { try operation(a.view, b.view) }
    }
  }

  @Test(arguments: levels, [1, 3, 16, 40, 49_152])
  func indexOfLargest(level: InstructionSet, width: Int) throws {
    let device = try CPUDevice(threads: 1, instructionSet: level)
    var random = SplitMix(state: 43)
    let x = Matrix.random(3, width, using: &random)
    let at = width * 2 / 3
    x[1, at] = 5
    x[1, width - 1] = 5  // a tie: the first wins
    x[0, 0] = .nan
    for j in 0..<width { x[2, j] = .nan }
    #expect(device.indexOfLargest(x.view, row: 1) == at)
    #expect(device.indexOfLargest(x.view, row: 2) == 0)
    let rest = (1..<max(width, 1)).max { x[0, $0] < x[0, $1] } ?? 0
    #expect(device.indexOfLargest(x.view) == rest)
  }
}
