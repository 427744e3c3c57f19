public import Devices
internal import Attention
internal import Tensors

/// Translates sentences with a trained model.
///
/// Sentences are decoded many at a time; cross-attention's keys and values are computed once for a
/// sentence, and finished sentences leave the batch. Not for use by two threads at once.
public final class Translator {
  /// The model.
  public let model: TransformerModel
  let packed: PackedTransformer

  /// Rows of a decoding step, about.
  public var batchRows = 128

  /// A translation.
  public struct Translation: Sendable, Hashable {
    /// Its tokens, without start and end.
    public var tokens: [Int32]
    /// log p / length penalty.
    public var score: Float
  }

  /// Why a sentence was not translated.
  public enum Failure: Error, CustomStringConvertible {
    /// The weights could not be packed.
    case weights(LinearWeights.Failure)
    /// A sentence has more tokens than the model has learned positions, or than can be handled.
    case length(sentence: Int, tokens: Int, limit: Int)
    /// A token is not in the vocabulary.
    case token(sentence: Int, value: Int32, limit: Int)
    /// A setting of the search is out of its range.
    case search(String)
    /// The engine refused the batch.
    case engine(String)

    /// What is wrong, where, and what was expected.
    public var description: String {
      switch self {
      case .weights(let failure): failure.description
      case .length(let sentence, let tokens, let limit):
        "sentence \(sentence) has \(tokens) tokens; at most \(limit) can be translated"
      case .token(let sentence, let value, let limit):
        "sentence \(sentence) has token \(value); the vocabulary has 0 to \(limit - 1)"
      case .search(let text): text
      case .engine(let text): text
      }
    }
  }

  /// The longest source, in tokens.
  public static let maximumSource = 4096

  /// Packs a model's weights.
  public init(
    _ model: TransformerModel, precision: WeightPrecision = .float32, device: CPUDevice
  ) throws(Failure) {
    self.model = model
    do {
      packed = try PackedTransformer(model, precision: precision, device: device)
    } catch {
      throw .weights(error)
    }
  }

  /// The best translations of every sentence, in order.
  ///
  /// - Parameters:
  ///   - sentences: Tokens without start and end; a sentence without tokens has the empty
  ///     translation.
  ///   - search: How hypotheses are searched for.
  ///   - progress: Called with the number of finished sentences.
  public func translate(
    _ sentences: [[Int32]], search: BeamSearch = BeamSearch(), progress: ((Int) -> Void)? = nil
  ) throws(Failure) -> [[Translation]] {
    try check(sentences, search)
    var results = [[Translation]](
      repeating: [Translation(tokens: [], score: 0)], count: sentences.count)
    // Sentences of one length finish about together.
    let order = sentences.indices.filter { !sentences[$0].isEmpty }
      .sorted { (sentences[$0].count, $0) < (sentences[$1].count, $1) }
    let size = max(batchRows / search.beam, 1)
    var done = sentences.count - order.count
    for first in stride(from: 0, to: order.count, by: size) {
      let members = order[first..<min(first + size, order.count)]
      for (member, result) in zip(members, try decode(members.map { sentences[$0] }, search)) {
        results[member] = result
      }
      done += members.count
      progress?(done)
    }
    return results
  }

  private func check(_ sentences: [[Int32]], _ search: BeamSearch) throws(Failure) {
    let c = model.configuration
    let limit = c.positions == .learned ? c.maximumPositions - 1 : Self.maximumSource
    for (i, sentence) in sentences.enumerated() {
      guard sentence.count <= limit else {
        throw .length(sentence: i, tokens: sentence.count, limit: limit)
      }
      for token in sentence where token < 0 || token >= c.vocabularySize {
        throw .token(sentence: i, value: token, limit: c.vocabularySize)
      }
    }
    guard (1...64).contains(search.beam) else {
      throw .search("beam is \(search.beam); expected 1 to 64")
    }
    guard search.maximumLength >= 1, search.alpha.isFinite, search.extraLength >= 0 else {
      throw .search("the longest translation must have a token, and α must be finite")
    }
  }

  private func decode(
    _ sentences: [[Int32]], _ search: BeamSearch
  ) throws(Failure) -> [[Translation]] {
    var search = search
    let c = model.configuration
    if c.positions == .learned {
      search.maximumLength = min(search.maximumLength, c.maximumPositions)
    }
    var beams = sentences.map { Beam(search, sourceLength: $0.count) }
    let capacity = beams.reduce(0) { $0 + search.beam * ($1.limit + 1) }
    do throws(DecoderState.Failure) {
      let state = try DecoderState(
        packed, sources: sentences.map { $0 + [SubwordVocabulary.end] }, capacity: capacity)
      while beams.contains(where: { !$0.isDone }) {
        let living = beams.indices.filter { !beams[$0].isDone }
        if state.freeSlotCount < living.reduce(0, { $0 + beams[$1].alive.count }) {
          state.keepSlots(
            of: living.flatMap { beams[$0].alive.map(\.slots) }, capacity: capacity)
        }
        var rows: [DecoderState.Row] = []
        for i in living {
          guard beams[i].extendSlots({ state.takeSlot() }) else {
            throw .batch("translation: a batch needs more than \(capacity) tokens")
          }
          rows += beams[i].alive.map {
            DecoderState.Row(
              sentence: i, token: $0.tokens.last ?? SubwordVocabulary.start, slots: $0.slots)
          }
        }
        let logits = try state.step(rows)
        let followers = packed.device.topLogProbabilities(
          logits, count: min(2 * search.beam, c.vocabularySize))
        var first = 0
        for i in living {
          let count = beams[i].alive.count
          beams[i].advance(followers[first..<first + count])
          first += count
        }
      }
    } catch {
      throw .engine(error.description)
    }
    return beams.map { beam in
      beam.translations.map { Translation(tokens: $0.tokens, score: $0.score) }
    }
  }
}
