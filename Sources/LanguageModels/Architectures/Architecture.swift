/// A family of models: what its checkpoints mean and how its blocks compute.
///
/// Each family is one file beside this one. To add one, write its file and name it in `all`.
protocol Architecture: Sendable {
  /// The name in the checkpoint's metadata.
  static var name: String { get }

  /// The configuration that the metadata describes.
  static func configuration(_ metadata: ModelMetadata, vocabularySize: Int) throws(ModelError)
    -> ModelConfiguration

  /// The block of layer `layer`.
  static func block(_ weights: WeightLoader, layer: Int) throws -> any DecoderBlock
}

/// One layer of a decoder: attention and feed-forward, each added to the hidden vectors.
protocol DecoderBlock: Sendable {
  /// Runs the layer on the hidden vectors of the pass, in place.
  func run(_ pass: any ForwardPass) throws
}

/// The families this build runs.
enum Architectures {
  static let all: [any Architecture.Type] = [Llama.self, Qwen2.self, Qwen3.self, Gemma3.self]

  static func named(_ name: String) throws(ModelError) -> any Architecture.Type {
    for architecture in all where architecture.name == name { return architecture }
    throw .unknownArchitecture(name, known: all.map { $0.name })
  }
}
