import Devices

/// Qwen2 and Qwen2.5: Llama's blocks with biases on queries, keys and values, and RoPE on half
/// heads (arXiv 2407.10671).
enum Qwen2: Architecture {
  static let name = "qwen2"

  static func configuration(_ metadata: ModelMetadata, vocabularySize: Int) throws(ModelError)
    -> ModelConfiguration
  {
    try ModelConfiguration(metadata, vocabularySize: vocabularySize, rotaryPairing: .halves)
  }

  static func block(_ weights: WeightLoader, layer: Int) throws -> any DecoderBlock {
    try PreNormBlock(weights, layer: layer)
  }
}

/// Qwen3: Qwen2's blocks without biases and with RMSNorm on every query and key head
/// (arXiv 2505.09388).
enum Qwen3: Architecture {
  static let name = "qwen3"

  static func configuration(_ metadata: ModelMetadata, vocabularySize: Int) throws(ModelError)
    -> ModelConfiguration
  {
    try Qwen2.configuration(metadata, vocabularySize: vocabularySize)
  }

  static func block(_ weights: WeightLoader, layer: Int) throws -> any DecoderBlock {
    try PreNormBlock(weights, layer: layer)
  }
}
