import Devices
import Foundation
import Tensors
import Testing
import Transformer

/// Decoding with caches against the training pass's logits.
@Suite struct TranslatorTests {
  static func model(_ which: Int, vocabulary: Int) throws -> TransformerModel {
    var c = DifferenceTests.configurations[which]
    c.vocabularySize = vocabulary
    c.maximumPositions = 40
    let model = try TransformerModel(c, seed: 21)
    // Far from uniform, so that choices are clear.
    let entry = model.weights.layout.entries[0]
    for i in model.weights.elements(of: entry).indices {
      model.weights.elements(of: entry)[i] *= 4
    }
    return model
  }

  static let sources: [[Int32]] = [
    [3, 4, 5], [6], [], [7, 3, 3, 4, 5, 6, 7, 3, 4, 5, 6, 7, 3, 4, 5, 6, 7, 3],
  ]

  @Test(arguments: 0..<2)
  func greedyFollowsLogits(which: Int) throws {
    let model = try Self.model(which, vocabulary: 23)
    let device = try CPUDevice(threads: 2)
    let translator = try Translator(model, device: device)
    var search = BeamSearch.greedy
    search.extraLength = 12
    let found = try translator.translate(Self.sources, search: search)
    #expect(found[2].first?.tokens.isEmpty == true)
    let gradient = try Gradient(model, device: device)
    for (source, translations) in zip(Self.sources, found) where !source.isEmpty {
      let target = try #require(translations.first).tokens
      #expect(target.count <= source.count + 12)
      let batch = try SentenceBatch(
        [EncodedPair(source: source, target: target)], for: model.configuration)
      let logits = try gradient.logits(of: batch)
      let steps = target.count < source.count + 12 ? target.count + 1 : target.count
      for step in 0..<steps {
        let row = logits[step * 23..<(step + 1) * 23]
        let said = step < target.count ? target[step] : SubwordVocabulary.end
        // Start is never said.
        let best = row.enumerated().filter { $0.offset != 1 }.map(\.element).max() ?? 0
        #expect(row[row.startIndex + Int(said)] >= best - 1e-3)
      }
    }
  }

  /// A beam as wide as the tree finds the best of all translations.
  @Test(arguments: [Float(0), 0.6])
  func wideBeamIsExhaustive(alpha: Float) throws {
    let model = try Self.model(0, vocabulary: 5)
    let device = try CPUDevice(threads: 2)
    let source: [Int32] = [3, 4, 4]
    var search = BeamSearch()
    (search.beam, search.best, search.alpha, search.maximumLength) = (60, 5, alpha, 3)
    let found = try Translator(model, device: device).translate([source], search: search)[0]
    let gradient = try Gradient(model, device: device)
    var all: [(score: Double, tokens: [Int32])] = []
    func visit(_ tokens: [Int32]) throws {
      let batch = try SentenceBatch(
        [EncodedPair(source: source, target: tokens)], for: model.configuration)
      let logits = try gradient.logits(of: batch).map(Double.init)
      func logProbability(_ step: Int, _ token: Int32) -> Double {
        let row = logits[step * 5..<step * 5 + 5]
        return row[step * 5 + Int(token)] - log(row.reduce(0) { $0 + exp($1) })
      }
      let said = tokens.enumerated().reduce(0) { $0 + logProbability($1.offset, $1.element) }
      let penalty = pow((5 + Double(tokens.count + 1)) / 6, Double(alpha))
      if tokens.count == 3 { return all.append((said / penalty, tokens)) }
      all.append(((said + logProbability(tokens.count, SubwordVocabulary.end)) / penalty, tokens))
      for next in [Int32(0), 3, 4] { try visit(tokens + [next]) }
    }
    try visit([])
    all.sort { $0.score > $1.score }
    #expect(found.count == 5)
    for (a, b) in zip(found, all) {
      #expect(a.tokens == b.tokens)
      #expect(abs(Double(a.score) - b.score) <= 1e-4)
    }
  }

  /// Where a model is sure, improbable ends fill a beam early; they must not end the search before the
  /// probable translation has ended.
  @Test func improbableEndsDoNotEndTheSearch() throws {
    var options = TrainingOptions()
    (options.batchTokens, options.warmup) = (60, 50)
    var c = TrainerTests.configuration
    (c.dropout, c.vocabularySize) = (0, 6)
    let pairs = (0..<3).map { (i: Int) -> EncodedPair in
      EncodedPair(source: [Int32(3 + i)], target: (i..<i + 14).map { Int32(3 + $0 % 3) })
    }
    let device = try CPUDevice(threads: 2)
    let trainer = try Trainer(
      try TransformerModel(c, seed: 3), pairs: pairs, options: options, device: device)
    for _ in 0..<200 { _ = try trainer.advance() }
    var search = BeamSearch()
    search.beam = 4
    let found = try Translator(trainer.model, device: device).translate(
      pairs.map { $0.source }, search: search)
    #expect(found.map { $0.first?.tokens } == pairs.map { $0.target })
  }

  /// Neighbours in a batch do not change a sentence's translations, within rounding.
  @Test func neighboursDoNotShow() throws {
    var c = TrainerTests.configuration
    c.layers = 2
    let model = try TransformerModel(c, seed: 5)
    let device = try CPUDevice(threads: 2)
    let sources = TrainerTests.pairs.prefix(9).map(\.source)
    var search = BeamSearch()
    (search.best, search.extraLength) = (4, 5)
    let translator = try Translator(model, device: device)
    let together = try translator.translate(sources, search: search)
    for (source, expected) in zip(sources, together) {
      let alone = try translator.translate([source], search: search)[0]
      #expect(alone.count == 4)
      for (a, b) in zip(alone, expected) { #expect(abs(a.score - b.score) <= 1e-3) }
      #expect(zip(alone, alone.dropFirst()).allSatisfy { $0.score >= $1.score })
    }
  }

  @Test func refusals() throws {
    let model = try Self.model(1, vocabulary: 23)
    let device = try CPUDevice(threads: 1)
    let translator = try Translator(model, device: device)
    #expect(throws: Translator.Failure.self) { try translator.translate([[23]]) }
    #expect(throws: Translator.Failure.self) {
      try translator.translate([[Int32](repeating: 3, count: 40)])
    }
    var search = BeamSearch()
    search.beam = 0
    #expect(throws: Translator.Failure.self) { try translator.translate([[3]], search: search) }
    #expect(throws: Translator.Failure.self) {
      // 10 columns are no whole blocks of 32.
      try Translator(model, precision: .int8, device: device)
    }
  }

  /// A row of the attention map is a distribution over the source.
  @Test func attentionMaps() throws {
    let model = try Self.model(1, vocabulary: 23)
    let pair = EncodedPair(source: [3, 4, 5, 6], target: [7, 8])
    let maps = try model.crossAttention(
      of: try SentenceBatch([pair], for: model.configuration), device: try CPUDevice(threads: 2))
    #expect(maps.count == 2)
    for map in maps {
      #expect(map.count == 3)
      for row in map {
        #expect(row.count == 5)
        #expect(abs(row.reduce(0, +) - 1) <= 1e-5)
        #expect(row.allSatisfy { $0 > 0 })
      }
    }
  }
}
