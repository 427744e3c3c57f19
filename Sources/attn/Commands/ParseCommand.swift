import ArgumentParser
import Devices
import Foundation
import Transformer

struct ParseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "parse",
    abstract: "Learn constituency trees, and parse.",
    discussion: """
      `attn parse --train TREES --output FOLDER` trains a Transformer on a bracketed treebank; `attn \
      parse --model FOLDER "…"` parses sentences whose words are separated by spaces; with --treebank \
      it parses a treebank's sentences and prints labelled F1 by evalb's rules.
      """)

  @Argument(help: "A sentence; without it, --treebank or standard input is read, line by line.")
  var text: String?

  @Option(name: [.long, .short], help: "The folder of a trained model.")
  var model: String?

  @Option(help: "A treebank to score against.")
  var treebank: String?

  @Option(help: "A treebank to learn from.")
  var train: String?

  @Option(help: "A held-out treebank.")
  var valid: String?

  @Option(name: [.long, .short], help: "Where a trained model goes.")
  var output: String?

  @Option(help: "Byte-pair merges to learn of the words.")
  var merges = 4000

  @Option(help: "Hypotheses kept at a time; 1 is greedy.")
  var beam = 4

  @OptionGroup var transformer: TransformerOptions
  @OptionGroup var settings: TrainingSettings

  func validate() throws {
    if train != nil {
      if output == nil { throw ValidationError("--train needs --output") }
    } else if model == nil {
      throw ValidationError("give --model FOLDER, or --train TREES --output FOLDER")
    }
  }

  func run() throws {
    try reportingErrors {
      if let train, let output {
        try learn(train, into: output)
      } else if let model {
        try parse(model)
      }
    }
  }

  private func trees(_ path: String) throws -> [ConstituencyTree] {
    let text = try ParallelText.lines(path).joined(separator: "\n")
    return try ConstituencyTree.read(text).compactMap(\.simplified)
  }

  private func learn(_ path: String, into folder: String) throws {
    let communicator = try settings.ranks.join()
    let trees = try trees(path)
    let held = try valid.map { try self.trees($0) } ?? []
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let isKnown = FileManager.default.fileExists(atPath: "\(folder)/vocabulary.txt")
    let vocabulary =
      try isKnown
      ? SubwordVocabulary(folder: folder)
      : SubwordVocabulary(
        learning: trees.map { $0.words.joined(separator: " ") }, mergeCount: merges,
        symbols: Set(trees.flatMap { LinearizedTree.symbols($0) }).sorted())
    if !isKnown, (communicator?.rank ?? 0) == 0 { try vocabulary.save(folder: folder) }
    let device = try settings.place.device()
    let trainer = try Trainer(
      try TransformerModel(
        try transformer.configuration(vocabulary: vocabulary.tokens.count), seed: settings.seed),
      pairs: pairs(trees, vocabulary), options: settings.options, device: device,
      communicator: communicator
    )
    var run = TrainingRun(
      folder: folder, settings: settings, trainer: trainer, device: device,
      communicator: communicator)
    run.held = pairs(held, vocabulary)
    run.score = { parses in
      var score = BracketScore()
      for (parse, gold) in zip(parses, held) {
        score.add(
          parse: LinearizedTree.tree(vocabulary.symbols(parse), over: gold.words), gold: gold)
      }
      return ("F1", score.f1)
    }
    try run.run()
  }

  private func pairs(
    _ trees: [ConstituencyTree], _ vocabulary: SubwordVocabulary
  ) -> [EncodedPair] {
    zip(vocabulary.encode(trees.map { $0.words.joined(separator: " ") }), trees).map {
      EncodedPair(source: $0, target: vocabulary.encode(symbols: LinearizedTree.symbols($1)))
    }
  }

  private func parse(_ folder: String) throws {
    let vocabulary = try SubwordVocabulary(folder: folder)
    let loaded = try TransformerModel.load(path: "\(folder)/model.safetensors").model
    guard loaded.configuration.vocabularySize == vocabulary.tokens.count else {
      throw CommandFailure(.data, "\(folder): model and vocabulary.txt do not belong together")
    }
    let gold = try treebank.map { try trees($0) }
    let sentences =
      try gold.map { $0.map(\.words) }
      ?? (text ?? Terminal.readAll()).split(separator: "\n").map {
        $0.split(separator: " ").map(String.init)
      }
    let translator = try Translator(
      loaded, device: try settings.place.device())
    var search = BeamSearch()
    (search.beam, search.best) = (beam, beam)
    // A word is closed by several brackets as a rule.
    search.extraLength = 400
    let found = try translator.translate(
      vocabulary.encode(sentences.map { $0.joined(separator: " ") }), search: search)
    var score = BracketScore()
    var wellFormed = 0
    for (i, words) in sentences.enumerated() {
      // The best hypothesis that is a tree of the sentence, or else the best.
      let hypotheses = found[i].map { vocabulary.symbols($0.tokens) }
      let whole = hypotheses.first { LinearizedTree.isWellFormed($0, wordCount: words.count) }
      let symbols = whole ?? hypotheses.first ?? []
      if whole != nil { wellFormed += 1 }
      let tree = LinearizedTree.tree(symbols, over: words)
      Terminal.write(tree.bracketed + "\n")
      if let gold { score.add(parse: tree, gold: gold[i]) }
    }
    if gold != nil {
      Terminal.note(
        String(
          format: "F1 %.2f, precision %.2f, recall %.2f, %d of %d exact, %d well-formed",
          score.f1, score.precision, score.recall, score.exact, score.sentences, wellFormed))
    }
  }
}
