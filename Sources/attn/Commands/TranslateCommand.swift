import ArgumentParser
import Devices
import Foundation
import Transformer

struct TranslateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "translate",
    abstract: "Translate with a trained Transformer.",
    discussion: """
      Translates the argument, a file, or standard input, line by line. The model is a folder that \
      `attn train` made; without one, English becomes German with a model that is trained first, once, \
      on Debian's package descriptions.
      """)

  @Argument(help: "The text; without it, --input or standard input is read.")
  var text: String?

  @Option(name: [.long, .short], help: "A file with a sentence on each line.")
  var input: String?

  @Option(name: [.long, .short], help: "The folder of a model; default: one trained here, once.")
  var model: String?

  @Option(help: "Hypotheses kept at a time; 1 is greedy.")
  var beam = 4

  @Option(help: "α of the length penalty.")
  var alpha: Float = 0.6

  @Option(help: "Translations of each sentence; more than one are printed with their scores.")
  var best = 1

  @Option(help: "The most tokens of a translation.")
  var maxLength = 512

  @Option(help: "f32, bf16 or int8: how weights are kept.", transform: choice)
  var precision: WeightPrecision = .float32

  @Option(help: "A file with translations to score (BLEU as sacreBLEU's, 13a).")
  var reference: String?

  @Option(help: "Draw what the first sentence's translation attends to, into this SVG file.")
  var showAttention: String?

  @OptionGroup var place: ThreadOptions

  func validate() throws {
    if text != nil, input != nil { throw ValidationError("give a text or --input, not both") }
    guard best >= 1, best <= beam else { throw ValidationError("--best is 1 to --beam") }
  }

  func run() throws {
    try reportingErrors {
      let lines = try lines()
      let model = try model ?? ReadyTranslator.folder()
      let vocabulary = try SubwordVocabulary(folder: model)
      let loaded = try TransformerModel.load(path: "\(model)/model.safetensors").model
      guard loaded.configuration.vocabularySize == vocabulary.tokens.count else {
        throw CommandFailure(
          .data,
          "\(model): the model has \(loaded.configuration.vocabularySize) tokens, "
            + "vocabulary.txt \(vocabulary.tokens.count)")
      }
      let device = try place.device()
      let translator = try Translator(loaded, precision: precision, device: device)
      var search = BeamSearch()
      (search.beam, search.alpha, search.best) = (beam, alpha, best)
      search.maximumLength = maxLength
      let encoded = vocabulary.encode(lines)
      let start = ContinuousClock.now
      let results = try translator.translate(encoded, search: search)
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      for translations in results {
        for translation in translations {
          let text = vocabulary.decode(translation.tokens)
          Terminal.write(
            best > 1 ? String(format: "%.4f\t", translation.score) + text + "\n" : text + "\n")
        }
      }
      if lines.count > 1 {
        let tokens = results.reduce(0) { $0 + ($1.first?.tokens.count ?? 0) }
        Terminal.note(
          "\(lines.count) sentences, \(tokens) tokens, "
            + "\((Double(tokens) / max(seconds, 1e-9)).rounded1) tok/s")
      }
      try score(results.map { vocabulary.decode($0.first?.tokens ?? []) })
      if let showAttention, let source = encoded.first, let result = results.first?.first {
        let pair = EncodedPair(source: source, target: result.tokens)
        let maps = try loaded.crossAttention(
          of: try SentenceBatch([pair], for: loaded.configuration), device: device)
        func names(_ ids: [Int32]) -> [String] {
          (ids + [SubwordVocabulary.end]).map {
            vocabulary.tokens[Int($0)].replacingOccurrences(of: "</w>", with: "")
          }
        }
        try AttentionDrawing(
          maps: maps, source: names(source), target: names(result.tokens)
        ).svg.write(toFile: showAttention, atomically: true, encoding: .utf8)
      }
    }
  }

  private func lines() throws -> [String] {
    if let text { return [text] }
    if let input { return try ParallelText.lines(input) }
    let text = try Terminal.readAll()
    return text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
  }

  private func score(_ translations: [String]) throws {
    guard let reference else { return }
    let references = try ParallelText.lines(reference)
    guard references.count == translations.count else {
      throw CommandFailure(
        .data, "\(reference): \(references.count) lines; expected \(translations.count)")
    }
    let score = BLEU().score(translations, references: references)
    Terminal.note(
      String(
        format: "BLEU %.2f (%@, BP %.3f, %d words of %d)", score.value,
        score.precisions.map { String(format: "%.1f", $0) }.joined(separator: "/"),
        score.brevityPenalty, score.length, score.referenceLength))
  }
}
