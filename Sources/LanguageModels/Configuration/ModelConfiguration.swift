public import Attention
public import Devices
import Glibc

/// The sizes and constants of a decoder-only model.
public struct ModelConfiguration: Sendable, Hashable {
  /// The architecture's name.
  public var architecture: String
  /// The number of tokens that have logits.
  public var vocabularySize: Int
  /// The number of blocks.
  public var layerCount: Int
  /// The length of a token's hidden vector, d_model.
  public var width: Int
  /// The length of the feed-forward layer's inner vector, d_ff.
  public var feedForwardWidth: Int
  /// The number of query heads, H_q.
  public var headCount: Int
  /// The number of key and value heads, H_kv, a divisor of H_q.
  public var kvHeadCount: Int
  /// The length of a head's query, key and value, D.
  public var headDimension: Int
  /// The most tokens the model was trained to attend to.
  public var contextLength: Int
  /// ε of the RMSNorm layers.
  public var normEpsilon: Float
  /// The factor between q·k and a logit.
  public var attentionScale: Float
  /// The factor that token embeddings are multiplied by on input.
  public var embeddingScale: Float = 1
  /// The layers' kinds of attention; a layer names one by its index in this list.
  public var attentionKinds: [AttentionKind]
  /// The kind of every layer.
  public var kindOfLayer: [Int]

  /// What distinguishes the attention of some layers from that of others.
  public struct AttentionKind: Sendable, Hashable {
    /// How positions enter.
    public var rotary: RotaryEmbedding
    /// A query sees this many positions, itself included; `nil` for all before it.
    public var window: Int?

    /// The engine's variant: causal, and a window where there is one.
    public func variant(scale: Float) -> AttentionVariant {
      var variant = AttentionVariant.causal
      if let window { variant = variant.combined(with: .slidingWindow(left: window - 1)) }
      variant.scale = scale
      return variant
    }

    /// The embedding as a part of attention, over keys that are stored unrotated.
    ///
    /// - Throws: where it turns a part of the head only, or its frequencies are scaled.
    func rotation(of headDimension: Int) throws(ModelError) -> AttentionVariant {
      let base =
        rotary.frequencies.count > 1
        ? pow(rotary.frequencies[1], -Double(headDimension) / 2) : 1
      let isPlain = rotary.frequencies.enumerated().allSatisfy { i, frequency in
        let plain = pow(base, -2 * Double(i) / Double(headDimension))
        return abs(frequency - plain) <= 1e-9 * plain
      }
      guard rotary.dimension == headDimension, isPlain, rotary.amplitude == 1 else {
        throw .metadata(
          key: "rope", expected: "unscaled frequencies over the whole head of \(headDimension)",
          found: "\(rotary.dimension) turned elements, other frequencies")
      }
      return .rope(
        rotary.pairing == .adjacent ? .interleaved : .halfSplit, base: Float(base))
    }
  }

  /// The number of query heads that share a key and value head, g.
  public var groupSize: Int { headCount / kvHeadCount }

  /// The sizes of a layer's attention.
  var attentionShape: AttentionShape {
    AttentionShape(queryHeads: headCount, kvHeads: kvHeadCount, headDimension: headDimension)
  }

  /// The variant of a kind of attention.
  ///
  /// - Parameter rotates: Whether it turns queries and keys, which are stored unrotated.
  func variant(_ kind: AttentionKind, rotates: Bool) throws(ModelError) -> AttentionVariant {
    let variant = kind.variant(scale: attentionScale)
    return rotates ? variant.combined(with: try kind.rotation(of: headDimension)) : variant
  }

  /// The same for branching drafts: each sees what is committed and its own path.
  func treeVariant(_ kind: AttentionKind) -> AttentionVariant {
    var variant = AttentionVariant.treeMask
    if let window = kind.window {
      variant = variant.combined(with: .slidingWindow(left: window - 1))
    }
    variant.scale = attentionScale
    return variant
  }
}

extension ModelConfiguration {
  /// Bounds that keep every product of two sizes far from overflow.
  enum Bounds {
    static let layers = 1...4_096
    static let width = 1...(1 << 20)
    static let heads = 1...(1 << 14)
    static let headDimension = 1...(1 << 14)
    static let vocabulary = 1...(1 << 24)
    static let context = 1...(1 << 30)
  }

  /// The sizes that every architecture states alike; one kind of attention for all layers.
  init(
    _ metadata: ModelMetadata, vocabularySize: Int, rotaryPairing: RotaryEmbedding.Pairing
  ) throws(ModelError) {
    let width = try metadata.required("embedding_length", in: Bounds.width)
    let layers = try metadata.required("block_count", in: Bounds.layers)
    let heads = try metadata.required("attention.head_count", in: Bounds.heads)
    let kvHeads = try metadata.integer("attention.head_count_kv", in: Bounds.heads) ?? heads
    guard heads % kvHeads == 0 else {
      throw .metadata(
        key: "attention.head_count_kv", expected: "a divisor of head_count \(heads)",
        found: String(kvHeads))
    }
    let head = try metadata.integer("attention.key_length", in: Bounds.headDimension)
    guard let head = head ?? (width % heads == 0 ? width / heads : nil) else {
      throw .metadata(
        key: "attention.head_count", expected: "a divisor of embedding_length \(width)",
        found: String(heads))
    }
    let value = try metadata.integer("attention.value_length", in: Bounds.headDimension) ?? head
    guard value == head else {
      throw .metadata(
        key: "attention.value_length", expected: "key_length \(head)", found: String(value))
    }
    let rotated = try metadata.integer("rope.dimension_count", in: 2...head) ?? head
    guard rotated % 2 == 0 else {
      throw .metadata(
        key: "rope.dimension_count", expected: "an even number", found: String(rotated))
    }
    architecture = metadata.architecture
    self.vocabularySize = vocabularySize
    layerCount = layers
    self.width = width
    feedForwardWidth = try metadata.required("feed_forward_length", in: Bounds.width)
    headCount = heads
    kvHeadCount = kvHeads
    headDimension = head
    contextLength = try Self.contextLength(metadata)
    normEpsilon = try metadata.positive("attention.layer_norm_rms_epsilon") ?? 1e-5
    attentionScale = try metadata.positive("attention.scale") ?? 1 / Float(head).squareRoot()
    let rotary = try Self.rotary(
      metadata, dimension: rotated, pairing: rotaryPairing, baseKey: "rope.freq_base",
      scaling: Self.scaling(metadata))
    attentionKinds = [AttentionKind(rotary: rotary, window: nil)]
    kindOfLayer = [Int](repeating: 0, count: layers)
  }
}
