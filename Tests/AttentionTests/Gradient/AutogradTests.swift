import Attention
import Devices
import Foundation
import Tensors
import Testing

/// Both passes against PyTorch's autograd; made by `scripts/gradient_check.py`.
@Suite struct AutogradTests {
  struct Fixture: Decodable {
    var divisor: Float
    var cases: [Case]
  }

  struct Case: Decodable, CustomTestStringConvertible {
    var variant: String
    var queryHeads, kvHeads, headDimension, valueDimension: Int
    var queryLengths, keyLengths: [Int]
    var queries, keys, values, outputGradient, lseGradient: [Float]
    var loss: Double
    var queryGradient, keyGradient, valueGradient: [Double]
    var parameters: [String: [Double]]

    var testDescription: String { variant }
  }

  static func fixture() throws -> Fixture {
    let folder = try #require(Bundle.module.resourceURL)
    let data = try Data(contentsOf: folder.appending(path: "Fixtures/gradients.json"))
    return try JSONDecoder().decode(Fixture.self, from: data)
  }

  /// The script's variants.
  static let variants: [String: AttentionVariant] = [
    "full": .full, "causal": .causal,
    "window": .causal.combined(with: .slidingWindow(left: 3)),
    "soft cap": .causal.combined(with: .softCap(1.5)),
    "alibi": .alibi(slopes: [0.5, 0.25, -0.25, 0.125]),
    "temperature": AttentionVariant("temperature") { v in
      let temperature = v.perHead("temperature", [1.5, 0.5, 2, -1])
      let bias = v.parameter("bias", default: 0.75)
      v.logits { s, at in
        temperature * s + select(abs(at.query - at.kv) < 2, bias * sigmoid(s), 0)
      }
      v.mask { at in at.kv <= at.query }
    },
    "sink": .causal.combined(with: .sink(logits: [1, -2, 0.5, 0])),
    "sigmoid": .causal.combined(with: .sigmoid(bias: -2)),
    "gated": AttentionVariant("gated") { v in
      let top = v.parameter("top", default: 0.5)
      v.logits { s, _ in min(s, top * exp(0.5 * s)) - abs(log(1 + exp(-s))) }
      v.mask { at in at.kv <= at.query && !(at.kv .== 2) }
    },
    "rope": .causal.combined(with: .rope(base: 100)),
    "functors": AttentionVariant("functors") { v in
      let gain = v.parameter("gain", default: 0.75)
      let weight = v.perHead("weight", [1.5, 0.5, 2, -1])
      v.query { x, _ in weight * x.own + gain * x.neighbour }
      v.key { x, at in tanh(gain * x.own) + x.opposite * at.kv / 8 }
      v.value { x, at in x.own * (1 + at.dimension / 8) * exp(-gain * at.kv / 4) }
      v.output { x, _ in x.own * sigmoid(x.neighbour) + gain * x.own }
      v.mask { at in at.kv <= at.query }
    },
  ]

  @Test func followsAutograd() throws {
    let fixture = try Self.fixture()
    let device = try CPUDevice(threads: 2)
    #expect(fixture.cases.count == Self.variants.count)
    for one in fixture.cases { try follow(one, fixture.divisor, device) }
  }

  private func follow(_ one: Case, _ divisor: Float, _ device: CPUDevice) throws {
    var scenario = GradientScenario()
    scenario.shape = AttentionShape(
      queryHeads: one.queryHeads, kvHeads: one.kvHeads, headDimension: one.headDimension,
      valueDimension: one.valueDimension)
    scenario.variant = try #require(Self.variants[one.variant])
    scenario.lengths = zip(one.queryLengths, one.keyLengths).map { ($0, $1) }
    let material = try GradientScenario.Material(scenario)
    func fill(_ tensor: GradientScenario.Tensor, _ numbers: [Float]) throws {
      let view = tensor.view
      try #require(numbers.count == view.rows * view.columns)
      for (i, number) in numbers.enumerated() {
        view.row(i / view.columns)[i % view.columns] = number / divisor
      }
    }
    try fill(material.queries, one.queries)
    try fill(material.keys, one.keys)
    try fill(material.values, one.values)
    try fill(material.outputGradient, one.outputGradient)
    try fill(material.lseGradient, one.lseGradient)

    let result = try scenario.run(material, device)
    func compare(_ found: [Float], _ expected: [Double], _ what: String) {
      let error = GradientScenario.error(found.map(Double.init), expected)
      #expect(error <= 1e-5, "\(one.variant), \(what): \(error)")
    }
    compare(result.queryGradient.values, one.queryGradient, "queries")
    compare(result.keyGradient.values, one.keyGradient, "keys")
    compare(result.valueGradient.values, one.valueGradient, "values")
    for (name, expected) in one.parameters {
      let found =
        expected.count == 1
        ? result.parameters.scalar(name).map { [$0] } : result.parameters.perHead(name)
      compare(try #require(found), expected, name)
    }
    var loss = 0.0
    for (a, b) in zip(result.output.values, material.outputGradient.values) {
      loss += Double(a) * Double(b)
    }
    let lse = scenario.variant.usesSoftmax ? result.lse.values : []
    for (a, b) in zip(lse, material.lseGradient.values) where a.isFinite {
      loss += Double(a) * Double(b)
    }
    #expect(abs(loss - one.loss) <= 1e-5 * (1 + abs(one.loss)), "\(one.variant), loss: \(loss)")
  }
}
