import Devices
import Glibc
import Inference
import Testing
import Tokenizers

@Suite struct SamplerTests {
  static let device = Result { try CPUDevice(threads: 1) }

  static func draw(_ logits: [Float], position: Int = 0, _ edit: (inout SamplingParameters) -> Void)
    throws -> TokenID?
  {
    var parameters = SamplingParameters()
    edit(&parameters)
    let sampler = try Sampler(parameters, device: Self.device.get())
    return logits.withUnsafeBufferPointer { sampler.sample($0, position: position) }
  }

  @Test func greedyTakesTheLowestOfTheLargest() throws {
    #expect(try Self.draw([1, 3, 3, 2]) { _ in } == 1)
    #expect(try Self.draw([.nan, -.infinity, -5, .nan]) { _ in } == 2)
    #expect(try Self.draw([.nan, -.infinity]) { _ in } == nil)
    #expect(try Self.draw([]) { _ in } == nil)
    #expect(try Self.draw([0, .infinity, 1]) { $0.temperature = 1 } == 1)
  }

  /// Every filter keeps the set that its definition names, found here by brute force.
  @Test(arguments: [
    (0, Float(1), Float(0)), (1, 1, 0), (3, 1, 0), (0, 0.5, 0), (0, 0.95, 0), (0, 1, 0.1),
    (5, 0.8, 0.05), (100, 0.999, 0), (0, 1e-6, 0), (7, 1, 1),
  ])
  func frequenciesFollowTheDefinition(topK: Int, topP: Float, minP: Float) throws {
    let logits = (0..<40).map { Float(sin(Double($0) * 1.7) * 4) }
    let temperature = 0.8
    // The definition, in the plainest form.
    let largest = Double(logits.max() ?? 0)
    var kept = logits.indices.map { ($0, exp((Double(logits[$0]) - largest) / temperature)) }
      .sorted { $0.1 > $1.1 }
    if topK > 0 { kept = Array(kept.prefix(topK)) }
    let all = kept.reduce(0) { $0 + $1.1 }
    var mass = 0.0
    kept = Array(
      kept.prefix { candidate in
        defer { mass += candidate.1 }
        return mass < Double(topP) * all || topP == 1
      })
    kept.removeAll { $0.1 < Double(minP) }
    let total = kept.reduce(0) { $0 + $1.1 }

    let draws = 20_000
    var counts = [Int: Int]()
    for position in 0..<draws {
      let token = try #require(
        try Self.draw(logits, position: position) {
          $0.temperature = Float(temperature)
          $0.topK = topK
          $0.topP = topP
          $0.minP = minP
          $0.seed = 42
        })
      counts[Int(token), default: 0] += 1
    }
    #expect(Set(counts.keys).isSubset(of: Set(kept.map(\.0))))
    for (id, weight) in kept {
      let p = weight / total
      let deviation = (p * (1 - p) * Double(draws)).squareRoot()
      #expect(abs(Double(counts[id] ?? 0) - p * Double(draws)) <= 5 * deviation + 1)
    }
  }

  @Test func seedAndPositionDecide() throws {
    let logits = [Float](repeating: 0, count: 1_000)
    func text(_ seed: UInt64) throws -> [TokenID?] {
      try (0..<20).map { position in
        try Self.draw(logits, position: position) {
          $0.temperature = 1
          $0.seed = seed
        }
      }
    }
    #expect(try text(1) == text(1))
    #expect(try text(1) != text(2))
    #expect(try Set(text(1)).count > 10)
  }

  @Test func parametersAreChecked() {
    for edit: (inout SamplingParameters) -> Void in [
      { $0.temperature = -1 }, { $0.temperature = .nan }, { $0.temperature = .infinity },
      { $0.topK = -1 }, { $0.topP = 0 }, { $0.topP = 1.5 }, { $0.topP = .nan }, { $0.minP = -0.1 },
      { $0.minP = 2 },
    ] {
      #expect(throws: SamplingParameters.Invalid.self) { try Self.draw([1], edit) }
    }
  }
}
