import Foundation
import Testing
import Transformer

/// BLEU against sacreBLEU and merges against subword-nmt; made by `scripts/transformer_vectors.py`.
@Suite struct VectorTests {
  struct Fixture: Decodable {
    var bleu: [Case]
    var bpe: Merges
  }

  struct Case: Decodable {
    var hypotheses: [String]
    var references: [[String]]
    var tokenize, smoothing: String
    var value: Double
    var effectiveOrder: Bool
    var score: Double
    var precisions: [Double]
  }

  struct Merges: Decodable {
    var words: [String: Int]
    var merges: [String]
  }

  static func fixture() throws -> Fixture {
    let folder = try #require(Bundle.module.resourceURL)
    let data = try Data(contentsOf: folder.appending(path: "Fixtures/vectors.json"))
    return try JSONDecoder().decode(Fixture.self, from: data)
  }

  @Test func bleuIsSacreBLEUs() throws {
    let cases = try Self.fixture().bleu
    #expect(cases.count > 100)
    for (i, one) in cases.enumerated() {
      var bleu = BLEU()
      bleu.tokenization = try #require(BLEUTokenization(rawValue: one.tokenize))
      bleu.smoothing =
        switch one.smoothing {
        case "exp": .exponential
        case "floor": .floor(one.value)
        case "add-k": .add(one.value)
        default: .none
        }
      bleu.usesEffectiveOrder = one.effectiveOrder
      // The script lowercases where it uses effective order.
      bleu.lowercase = one.effectiveOrder
      let found = bleu.score(one.hypotheses, references: one.references)
      #expect(abs(found.value - one.score) <= 1e-6, "case \(i): \(found.value) \(one)")
      for (a, b) in zip(found.precisions, one.precisions) { #expect(abs(a - b) <= 1e-6) }
    }
  }

  struct Systems: Decodable {
    var references: [String]
    var systems: [System]
    struct System: Decodable {
      var name, tokenize: String
      var score: Double
      var lines: [String]
    }
  }

  static var systemsFile: URL {
    let environment = ProcessInfo.processInfo.environment
    let cache =
      environment["XDG_CACHE_HOME"].map { URL(fileURLWithPath: $0) }
      ?? URL(fileURLWithPath: NSHomeDirectory()).appending(path: ".cache")
    return cache.appending(path: "swift-attention/bleu-vectors/wmt17.json")
  }

  @Test(.enabled(if: FileManager.default.fileExists(atPath: systemsFile.path)))
  func wmt17Systems() throws {
    let systems = try JSONDecoder().decode(
      Systems.self, from: try Data(contentsOf: Self.systemsFile))
    #expect(systems.systems.count == 48)
    for system in systems.systems {
      var bleu = BLEU()
      bleu.tokenization = try #require(BLEUTokenization(rawValue: system.tokenize))
      let found = bleu.score(system.lines, references: systems.references)
      #expect(abs(found.value - system.score) <= 1e-6, "\(system.name) \(system.tokenize)")
    }
  }

  @Test func mergesAreSubwordNMTs() throws {
    let case_ = try Self.fixture().bpe
    let merges = BytePairLearner.merges(of: case_.words, count: case_.merges.count)
    #expect(merges.map { "\($0.left) \($0.right)" } == case_.merges)
  }
}
