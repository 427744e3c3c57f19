import Devices
import Tensors
import Testing

@Suite struct SegmentTests {
  /// The product of each segment with its own weights, in Double, with Σ|x·w|.
  private static func product(
    _ x: Matrix, _ segments: RaggedIndex, _ weights: [StoredMatrix], _ choice: [Int?]
  ) -> (exact: [[Double]], size: [[Double]]) {
    var (exact, size): ([[Double]], [[Double]]) = ([], [])
    for segment in 0..<segments.count {
      for row in segments[segment] {
        let outputs = weights[0].rows
        guard let index = choice[segment] else {
          exact.append([Double](repeating: 0, count: outputs))
          size.append([Double](repeating: 0, count: outputs))
          continue
        }
        let terms = (0..<outputs).map { n in
          (0..<x.view.columns).map { Double(x[row, $0]) * weights[index].weight(n, $0) }
        }
        exact.append(terms.map { $0.reduce(0, +) })
        size.append(terms.map { $0.reduce(0) { $0 + abs($1) } })
      }
    }
    return (exact, size)
  }

  @Test(
    arguments: InstructionSet.available,
    [[1, 1, 1, 1, 1], [0, 3, 0, 300, 5], [], [0, 0]])
  func segmentGEMM(level: InstructionSet, lengths: [Int]) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 61)
    let segments = try RaggedIndex(lengths: lengths)
    for (types, inputs, outputs) in [
      ([ElementType.float32, .bfloat16], 37, 50), ([.q8_0, .float16], 64, 7),
    ] {
      let stored = types.map {
        StoredMatrix($0, rows: outputs, columns: inputs, using: &random)
      }
      let weights = try stored.map { try $0.packed(device) }
      let choice = lengths.indices.map { ($0 + 1) % 2 }
      let x = Matrix.random(segments.total, inputs, padding: 3, using: &random)
      let (exact, size) = Self.product(x, segments, stored, choice)
      let y = Matrix(segments.total, outputs, padding: 1, filled: .nan)
      for accumulate in [false, true] {
        try device.segmentGEMM(
          x.view, segments: segments, weights: weights, weightIndices: choice, into: y.view,
          accumulate: accumulate)
        let times: Double = accumulate ? 2 : 1
        for i in 0..<segments.total {
          for j in 0..<outputs {
            #expect(abs(Double(y[i, j]) - times * exact[i][j]) <= 1e-5 * size[i][j] + 1e-6)
          }
        }
      }
      #expect(y.paddingIsUntouched)
    }
  }

  @Test(arguments: InstructionSet.available, [[1, 1, 1, 1, 1, 1], [2, 0, 9, 1, 40, 3]])
  func adapters(level: InstructionSet, lengths: [Int]) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 67)
    let (inputs, outputs) = (70, 33)
    let segments = try RaggedIndex(lengths: lengths)
    let choice: [Int?] = [1, nil, 0, 2, 1, 0]
    let ranks = [8, 17, 1]
    let downs = ranks.map {
      StoredMatrix(.bfloat16, rows: $0, columns: inputs, using: &random)
    }
    let ups = ranks.map { StoredMatrix(.float32, rows: outputs, columns: $0, using: &random) }
    let adapters = try ranks.indices.map {
      try LowRankAdapter(
        down: downs[$0].packed(device), up: ups[$0].packed(device),
        scale: [1, 0.5, -2][$0])
    }
    let x = Matrix.random(segments.total, inputs, using: &random)
    let y = Matrix.random(segments.total, outputs, padding: 2, using: &random)
    let before = y.values
    try device.addLoRA(
      x.view, segments: segments, adapters: adapters, adapterIndices: choice, to: y.view)
    for segment in 0..<segments.count {
      for i in segments[segment] {
        for j in 0..<outputs {
          var expected = Double(before[i * outputs + j])
          if let index = choice[segment] {
            for r in 0..<ranks[index] {
              let inner = (0..<inputs).reduce(0) {
                $0 + Double(x[i, $1]) * downs[index].weight(r, $1)
              }
              expected += Double(adapters[index].scale) * inner * ups[index].weight(j, r)
            }
          } else {
            #expect(y[i, j] == before[i * outputs + j])
          }
          #expect(abs(Double(y[i, j]) - expected) <= 2e-4)
        }
      }
    }
    #expect(y.paddingIsUntouched)
  }

  @Test func argumentsAreChecked() throws {
    let device = try CPUDevice(threads: 1)
    let other = try CPUDevice(threads: 1)
    var random = SplitMix(state: 71)
    let stored = StoredMatrix(.float32, rows: 3, columns: 4, using: &random)
    let (weights, foreign) = (try stored.packed(device), try stored.packed(other))
    let (x, y) = (Matrix(2, 4, filled: 1), Matrix(2, 3, filled: 7))
    let (two, three) = (try RaggedIndex(lengths: [1, 1]), try RaggedIndex(lengths: [3]))
    func run(_ segments: RaggedIndex, _ w: LinearWeights, _ indices: [Int], _ y: Matrix) throws {
      try device.segmentGEMM(
        x.view, segments: segments, weights: [w], weightIndices: indices, into: y.view)
    }
    for body: () throws -> Void in [
      { try run(three, weights, [0], y) }, { try run(two, weights, [0], y) },
      { try run(two, weights, [0, 1], y) }, { try run(two, weights, [-1, 0], y) },
      { try run(two, foreign, [0, 0], y) }, { try run(two, weights, [0, 0], x) },
      { try run(two, weights, [0, 0], Matrix(3, 3, filled: 0)) },
      { _ = try LowRankAdapter(down: weights, up: weights) },
    ] {
      #expect(throws: CPUDevice.OperatorFailure.self) { try body() }
    }
    #expect(y.values == [Float](repeating: 7, count: 6))
  }
}
