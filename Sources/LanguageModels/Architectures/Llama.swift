import Devices

/// Llama and the many models of its shape, SmolLM2 among them (Touvron et al., arXiv 2302.13971;
/// grouped queries: arXiv 2307.09288).
enum Llama: Architecture {
  static let name = "llama"

  static func configuration(_ metadata: ModelMetadata, vocabularySize: Int) throws(ModelError)
    -> ModelConfiguration
  {
    try ModelConfiguration(
      metadata, vocabularySize: vocabularySize,
      rotaryPairing: metadata.hasOriginalHeadOrder ? .halves : .adjacent)
  }

  static func block(_ weights: WeightLoader, layer: Int) throws -> any DecoderBlock {
    try PreNormBlock(weights, layer: layer)
  }
}

/// x += Attention(RMSNorm(x)), then x += FeedForward(RMSNorm(x)).
struct PreNormBlock: DecoderBlock {
  let attentionNorm: Norm
  let attention: SelfAttention
  let feedForwardNorm: Norm
  let feedForward: GatedFeedForward

  init(_ weights: WeightLoader, layer: Int) throws {
    attentionNorm = try weights.norm("blk.\(layer).attn_norm")
    attention = try SelfAttention(weights, layer: layer)
    feedForwardNorm = try weights.norm("blk.\(layer).ffn_norm")
    feedForward = try GatedFeedForward(weights, layer: layer, function: .silu)
  }

  func run(_ pass: any ForwardPass) throws {
    try pass.normalise(.hidden, by: attentionNorm, into: .normed)
    try attention.run(into: .hidden, accumulate: true, pass)
    try pass.normalise(.hidden, by: feedForwardNorm, into: .normed)
    try feedForward.run(into: .hidden, accumulate: true, pass)
  }
}
