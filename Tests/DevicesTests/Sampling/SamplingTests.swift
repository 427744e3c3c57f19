import Devices
import Glibc
import Tensors
import Testing

private let levels = InstructionSet.available
private let filters: [SamplingFilter] = [
  SamplingFilter(), SamplingFilter(topK: 1), SamplingFilter(topK: 5), SamplingFilter(topK: 60),
  SamplingFilter(topK: 1_000), SamplingFilter(topP: 0.5), SamplingFilter(topP: 0.95),
  SamplingFilter(topP: 1e-6), SamplingFilter(topP: 0.9999), SamplingFilter(minP: 0.1),
  SamplingFilter(minP: 1), SamplingFilter(topK: 20, topP: 0.8),
  SamplingFilter(topK: 20, topP: 0.5, order: .joint),
  SamplingFilter(topK: 3, topP: 0.95, order: .joint),
  SamplingFilter(topK: 30, topP: 0.9, minP: 0.05), SamplingFilter(topP: 0.9, minP: 0.02),
]

@Suite struct SamplingTests {
  private static func points(_ count: Int, seed: UInt64) -> [CounterRandom.Point] {
    (0..<count).map { CounterRandom.Point(seed: seed, counter: UInt64($0)) }
  }

  /// Draws from many equal rows follow the definition.
  @Test(arguments: levels, filters)
  func frequenciesFollowTheDefinition(level: InstructionSet, filter: SamplingFilter) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    var random = SplitMix(state: 3)
    let draws = 4_000
    // Two spans and a piece, a NaN and a −∞; ties at 0.5.
    var logits = (0..<137).map { _ in Float.random(in: -4...2.5, using: &random) }
    (logits[7], logits[100]) = (.nan, -.infinity)
    for i in stride(from: 3, to: 137, by: 20) { logits[i] = 2.5 }
    let temperature: Float = 0.8
    let p = Distribution.softmax(logits, temperature: Double(temperature))
    let expected = Distribution.filtered(p, filter)

    let rows = Matrix(repeating: logits, rows: draws)
    let drawn = try device.sampleFromLogits(
      rows.view, temperatures: [temperature], filters: [filter],
      random: Self.points(draws, seed: 11))
    check(drawn, expected, "logits")

    // Unnormalised probabilities, and something that is none.
    var weights = p.map { Float($0 * 3) }
    (weights[7], weights[100]) = (.nan, -1)
    let probabilities = Matrix(repeating: weights, rows: draws)
    check(
      try device.sampleFromProbabilities(
        probabilities.view, filters: [filter], random: Self.points(draws, seed: 12)),
      expected, "probabilities")
  }

  private func check(_ drawn: [Int?], _ expected: [Double], _ what: Comment) {
    var counts = expected.map { _ in 0 }
    for token in drawn {
      guard let token else {
        Issue.record("nothing was drawn")
        return
      }
      counts[token] += 1
    }
    let (value, limit) = Distribution.chiSquare(counts, expected)
    #expect(value <= limit, what)
  }

  /// The test of distributions tells distributions apart.
  @Test func aWrongDistributionFails() throws {
    let device = try CPUDevice(threads: 1)
    let logits = (0..<40).map { Float($0) / 10 }
    let draws = 16_000
    let rows = Matrix(repeating: logits, rows: draws)
    let drawn = try device.sampleFromLogits(rows.view, random: Self.points(draws, seed: 5))
    var counts = [Int](repeating: 0, count: 40)
    for token in drawn.compactMap({ $0 }) { counts[token] += 1 }
    for wrong in [
      Distribution.softmax(logits, temperature: 1.2),
      Distribution.filtered(Distribution.softmax(logits), SamplingFilter(topK: 39)),
      Distribution.filtered(Distribution.softmax(logits), SamplingFilter(topP: 0.97)),
    ] {
      let (value, limit) = Distribution.chiSquare(counts, wrong)
      #expect(value > limit)
    }
    let (value, limit) = Distribution.chiSquare(counts, Distribution.softmax(logits))
    #expect(value <= limit)
  }

  /// A row's choice is its own: the same alone, in a batch, on any number of threads.
  @Test func rowsAreIndependent() throws {
    var random = SplitMix(state: 9)
    let logits = Matrix.random(33, 1_000, padding: 5, in: -8...8, using: &random)
    let mixed = (0..<33).map { filters[$0 % filters.count] }
    let temperatures = (0..<33).map { Float($0 % 4) * 0.4 }
    let points = Self.points(33, seed: 2)
    func draw(_ threads: Int) throws -> [Int?] {
      try CPUDevice(threads: threads).sampleFromLogits(
        logits.view, temperatures: temperatures, filters: mixed, random: points)
    }
    let together = try draw(3)
    #expect(try draw(1) == together)
    let device = try CPUDevice(threads: 1)
    for row in 0..<33 {
      let alone = try device.sampleFromLogits(
        logits.view.rows(row..<row + 1), temperatures: [temperatures[row]], filters: [mixed[row]],
        random: [points[row]])
      #expect(alone == [together[row]])
      if temperatures[row] == 0 {
        #expect(alone == [device.indexOfLargest(logits.view, row: row)])
      }
    }
    #expect(Set(together).count > 10)
  }

  @Test(arguments: levels)
  func extremes(level: InstructionSet) throws {
    let device = try CPUDevice(threads: 1, instructionSet: level)
    let point = [CounterRandom.Point(seed: 1, counter: 1)]
    func draw(_ row: [Float], _ temperature: Float = 1, _ filter: SamplingFilter = .init()) throws
      -> Int?
    {
      let matrix = Matrix(rows: [row])
      return try device.sampleFromLogits(
        matrix.view, temperatures: [temperature], filters: [filter], random: point)[0]
    }
    #expect(try draw([]) == nil)
    #expect(try draw([.nan, -.infinity]) == nil)
    #expect(try draw([0, .infinity, 1, .infinity]) == 1)
    #expect(try draw([1, 3, 3, .nan], 0) == 1)
    #expect(try draw([-3e38, 3e38, 1], 1e-38) == 1)
    #expect(try draw([-3e38, 3e38, 1], .leastNonzeroMagnitude) == 1)
    // All equal, signed zeros among them: top-k takes the lowest indices.
    var zeros = [Float](repeating: 0, count: 300)
    for i in stride(from: 0, to: 300, by: 3) { zeros[i] = -0.0 }
    for topK in [1, 2, 100] {
      let token = try draw(zeros, 1, SamplingFilter(topK: topK))
      #expect((0..<topK).contains(token ?? -1))
    }
    let half = try draw(zeros, 1, SamplingFilter(topP: 0.5))
    #expect((0..<150).contains(half ?? -1))
    let none = Matrix(rows: [[0, -1, .nan, 0]])
    #expect(try device.sampleFromProbabilities(none.view, random: point) == [nil])
  }

  @Test func argumentsAreChecked() throws {
    let device = try CPUDevice(threads: 1)
    let x = Matrix(2, 4, filled: 1)
    let points = Self.points(2, seed: 0)
    func refused(_ argument: String, _ body: () throws -> Void) {
      #expect {
        try body()
      } throws: { error in
        switch error as? CPUDevice.OperatorFailure {
        case .shape(_, argument, _, _), .value(_, argument, _, _, _): true
        default: false
        }
      }
    }
    refused("random") { _ = try device.sampleFromLogits(x.view, random: []) }
    refused("temperatures") {
      _ = try device.sampleFromLogits(x.view, temperatures: [1, 1, 1], random: points)
    }
    refused("temperatures") {
      _ = try device.sampleFromLogits(x.view, temperatures: [.nan], random: points)
    }
    for filter in [
      SamplingFilter(topK: -1), SamplingFilter(topP: 0), SamplingFilter(topP: 1.5),
      SamplingFilter(topP: .nan), SamplingFilter(minP: -0.1), SamplingFilter(minP: 2),
    ] {
      refused("filters") {
        _ = try device.sampleFromProbabilities(
          x.view, filters: [SamplingFilter(), filter], random: points)
      }
    }
    refused("topK") { try device.topKRenormalize(x.view, topK: [0], into: x.view) }
    refused("topP") { try device.topPRenormalize(x.view, topP: [1, 0], into: x.view) }
    refused("a matrix") {
      try device.topKMaskLogits(x.view, topK: [1], into: Matrix(2, 3, filled: 0).view)
    }
  }
}
