import Foundation
import LanguageModels
import Testing

/// What PyTorch computes for a model in 32-bit floats from the same file's dequantised weights;
/// made by `scripts/reference_logits.py`.
struct Reference: Decodable, CustomTestStringConvertible {
  var model: String
  var sha256: String
  var tokens: [Int32]
  var greedy: [Int32]
  var first: Logits
  var last: Logits
  var negativeLogLikelihood: Likelihood?

  struct Logits: Decodable {
    /// The largest, as (id, logit).
    var top: [[Double]]
    /// Some others, as (id, logit).
    var probes: [[Double]]
    var norm: Double
    var mean: Double
  }

  struct Likelihood: Decodable {
    var count: Int
    var mean: Double
  }

  var testDescription: String { "\(model), \(tokens.count) tokens" }

  init(_ name: String) throws {
    let folder = try #require(Bundle.module.resourceURL)
    let data = try Data(contentsOf: folder.appending(path: "Fixtures/\(name).json"))
    self = try JSONDecoder().decode(Self.self, from: data)
  }

  /// Largest error of the logits relative to the largest logit.
  func error(_ logits: [Float], at place: KeyPath<Reference, Logits>) -> Double {
    let expected = self[keyPath: place]
    let scale = expected.top.map { abs($0[1]) }.max() ?? 1
    let worst = (expected.top + expected.probes).map { abs(Double(logits[Int($0[0])]) - $0[1]) }
    let norm = logits.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    return max((worst.max() ?? .infinity) / scale, abs(norm - expected.norm) / expected.norm)
  }
}
