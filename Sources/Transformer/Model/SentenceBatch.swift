public import Tensors

/// Pairs of sentences, token after token, without padding.
///
/// Pair r's source is tokens `sources[r]` of `sourceTokens`; its target is shifted by one: at
/// `targets[r]`, `decoderTokens` begin with the start token and `labels` end with the end token.
public struct SentenceBatch: Sendable, Hashable {
  /// Where each source sentence is.
  public let sources: RaggedIndex
  /// The source tokens.
  public let sourceTokens: [Int32]
  /// Where each target sentence is.
  public let targets: RaggedIndex
  /// What the decoder reads.
  public let decoderTokens: [Int32]
  /// What the decoder is to say at each place.
  public let labels: [Int32]

  /// Why pairs are no batch.
  public enum Invalid: Error, Hashable {
    /// A token is not in the vocabulary.
    case token(pair: Int, side: String, value: Int, limit: Int)
    /// A source sentence has no tokens.
    case empty(pair: Int)
    /// A sentence is longer than the learned positions.
    case length(pair: Int, side: String, value: Int, limit: Int)
  }

  /// A batch of pairs.
  ///
  /// - Parameters:
  ///   - pairs: Token ids without start and end.
  ///   - start: The token that a target begins with.
  ///   - end: The token that sentences end with, sources too.
  ///   - configuration: The model that will read them.
  public init(
    _ pairs: [(source: [Int32], target: [Int32])], start: Int32, end: Int32,
    for configuration: TransformerConfiguration
  ) throws(Invalid) {
    var (sourceOffsets, targetOffsets) = ([0], [0])
    var (source, decoder, labels): ([Int32], [Int32], [Int32]) = ([], [], [])
    for (i, pair) in pairs.enumerated() {
      for (side, tokens) in [("source", pair.source), ("target", pair.target)] {
        let limit = configuration.vocabularySize
        for token in tokens where token < 0 || token >= limit {
          throw .token(pair: i, side: side, value: Int(token), limit: limit)
        }
        if configuration.positions == .learned, tokens.count >= configuration.maximumPositions {
          throw .length(
            pair: i, side: side, value: tokens.count + 1, limit: configuration.maximumPositions)
        }
      }
      source += pair.source + [end]
      decoder += [start] + pair.target
      labels += pair.target + [end]
      sourceOffsets.append(source.count)
      targetOffsets.append(decoder.count)
    }
    do {
      sources = try RaggedIndex(offsets: sourceOffsets)
      targets = try RaggedIndex(offsets: targetOffsets)
    } catch {
      throw .empty(pair: 0)
    }
    sourceTokens = source
    decoderTokens = decoder
    self.labels = labels
  }

  /// The number of pairs.
  public var count: Int { sources.count }
}

extension SentenceBatch.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .token(let pair, let side, let value, let limit):
      "batch: the \(side) of pair \(pair) has token \(value); the vocabulary has 0 to \(limit - 1)"
    case .empty(let pair): "batch: the source of pair \(pair) is empty"
    case .length(let pair, let side, let value, let limit):
      "batch: the \(side) of pair \(pair) has \(value) tokens; the model has \(limit) positions"
    }
  }
}
