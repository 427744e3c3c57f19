import Checkpoints
import Devices
import Foundation
import Tensors
import Testing
import Transformer

/// A case that `scripts/transformer_check.py` made with PyTorch.
struct TorchCase {
  static let names = ["post", "pre", "narrow"]

  let file: SafetensorsFile
  let model: TransformerModel
  let rate: Float

  init(_ name: String) throws {
    let folder = try #require(Bundle.module.resourceURL)
    file = try SafetensorsFile(
      path: folder.appending(path: "Fixtures/transformer-\(name).safetensors").path)
    let text = try #require(file.metadata["transformer"])
    let configuration = try JSONDecoder().decode(
      TransformerConfiguration.self, from: Data(text.utf8))
    rate = try #require(file.metadata["rate"].flatMap(Float.init))
    let weights = Parameters(ParameterLayout(configuration))
    for entry in weights.layout.entries {
      let tensor = try #require(try file.tensor(named: "w.\(entry.name)"))
      try #require(tensor.shape == entry.shape)
      _ = weights.elements(of: entry).update(fromContentsOf: tensor.dequantized())
    }
    model = try TransformerModel(configuration, weights: weights)
  }

  func floats(_ name: String) throws -> [Float] {
    try #require(try file.tensor(named: name)).dequantized()
  }

  private func integers(_ name: String) throws -> [Int32] {
    try #require(try file.tensor(named: name)).withBytes { bytes in
      (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self) }
    }
  }

  func batch(_ number: Int) throws -> SentenceBatch {
    func sentences(_ side: String) throws -> [[Int32]] {
      let tokens = try integers("batch.\(number).\(side).tokens")
      var first = 0
      return try integers("batch.\(number).\(side).lengths").map { length in
        defer { first += Int(length) }
        return Array(tokens[first..<first + Int(length)])
      }
    }
    let pairs = zip(try sentences("source"), try sentences("target")).map {
      EncodedPair(source: $0, target: $1)
    }
    return try SentenceBatch(pairs, for: model.configuration)
  }
}
