import Devices

/// Gemma 3, text only: norms before and after each branch, RMSNorm on query and key heads, five
/// layers with a sliding window for each that sees everything (arXiv 2503.19786).
enum Gemma3: Architecture {
  static let name = "gemma3"

  static func configuration(_ metadata: ModelMetadata, vocabularySize: Int) throws(ModelError)
    -> ModelConfiguration
  {
    typealias Bounds = ModelConfiguration.Bounds
    var configuration = try ModelConfiguration(
      metadata, vocabularySize: vocabularySize, rotaryPairing: .halves)
    configuration.embeddingScale = Float(configuration.width).squareRoot()
    let global = configuration.attentionKinds[0]
    guard let window = try metadata.integer("attention.sliding_window", in: Bounds.context) else {
      return configuration
    }
    let period =
      try metadata.integer("attention.sliding_window_pattern", in: Bounds.layers) ?? 6
    var local = global
    local.window = window
    local.rotary = try ModelConfiguration.rotary(
      metadata, dimension: global.rotary.dimension, pairing: .halves,
      baseKey: "rope.local.freq_base", scaling: .none)
    configuration.attentionKinds = [global, local]
    configuration.kindOfLayer = (1...configuration.layerCount).map { $0 % period == 0 ? 0 : 1 }
    return configuration
  }

  static func block(_ weights: WeightLoader, layer: Int) throws -> any DecoderBlock {
    try SandwichNormBlock(weights, layer: layer)
  }
}

/// x += RMSNorm(Attention(RMSNorm(x))), then x += RMSNorm(FeedForward(RMSNorm(x))).
struct SandwichNormBlock: DecoderBlock {
  let attentionNorm: Norm
  let attention: SelfAttention
  let postAttentionNorm: Norm
  let feedForwardNorm: Norm
  let feedForward: GatedFeedForward
  let postFeedForwardNorm: Norm

  init(_ weights: WeightLoader, layer: Int) throws {
    attentionNorm = try weights.norm("blk.\(layer).attn_norm")
    attention = try SelfAttention(weights, layer: layer)
    postAttentionNorm = try weights.norm("blk.\(layer).post_attention_norm")
    feedForwardNorm = try weights.norm("blk.\(layer).ffn_norm")
    feedForward = try GatedFeedForward(weights, layer: layer, function: .geluTanh)
    postFeedForwardNorm = try weights.norm("blk.\(layer).post_ffw_norm")
  }

  func run(_ pass: any ForwardPass) throws {
    try pass.normalise(.hidden, by: attentionNorm, into: .normed)
    try attention.run(into: .branch, pass)
    try pass.normalise(.branch, by: postAttentionNorm, into: .normed)
    try pass.addToHidden(.normed, normalisedBy: feedForwardNorm, into: .normed)
    try feedForward.run(into: .branch, pass)
    try pass.normalise(.branch, by: postFeedForwardNorm, into: .normed)
    try pass.addToHidden(.normed)
  }
}
