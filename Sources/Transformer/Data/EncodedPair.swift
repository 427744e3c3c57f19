/// A sentence and its translation as token ids, without start and end.
public struct EncodedPair: Sendable, Hashable {
  /// The sentence.
  public var source: [Int32]
  /// Its translation.
  public var target: [Int32]

  /// A pair.
  public init(source: [Int32], target: [Int32]) {
    self.source = source
    self.target = target
  }
}

extension SentenceBatch {
  /// A batch of pairs between the vocabulary's start and end.
  public init(
    _ pairs: [EncodedPair], for configuration: TransformerConfiguration
  ) throws(Invalid) {
    try self.init(
      pairs.map { ($0.source, $0.target) }, start: SubwordVocabulary.start,
      end: SubwordVocabulary.end, for: configuration)
  }
}
