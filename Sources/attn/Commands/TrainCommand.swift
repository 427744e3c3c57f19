import ArgumentParser
import Devices
import Foundation
import Transformer

struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train the Transformer of 2017 to translate.",
    discussion: """
      `attn train --task en-de` builds English–German pairs from Debian's package descriptions (once, \
      with scripts/debian_pairs.py), learns a joint byte-pair vocabulary and trains. Any parallel text \
      does: --source and --target name two files with a sentence on each line. Started again with the \
      same folder it goes on where it was, with the same bits.
      """)

  @Option(help: "en-de: pairs from Debian's translated package descriptions.")
  var task: String?

  @Option(help: "Sentences, one on each line.")
  var source: String?

  @Option(help: "Their translations.")
  var target: String?

  @Option(help: "Held-out sentences.")
  var validSource: String?

  @Option(help: "Their translations.")
  var validTarget: String?

  @Option(name: [.long, .short], help: "The folder of vocabulary, checkpoints, curves and model.")
  var output: String

  @Option(help: "Byte-pair merges to learn.")
  var merges = 6000

  @OptionGroup var transformer: TransformerOptions

  @OptionGroup var settings: TrainingSettings

  func run() throws {
    try reportingErrors {
      let communicator = try settings.ranks.join()
      let files = try parallelFiles()
      let text = try ParallelText(source: files.source, target: files.target)
      let held = try files.held.map { try ParallelText(source: $0.source, target: $0.target) }
      try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
      let vocabulary = try vocabulary(text, isFirst: (communicator?.rank ?? 0) == 0)
      let configuration = try transformer.configuration(vocabulary: vocabulary.tokens.count)
      let device = try settings.place.device()
      let model = try TransformerModel(configuration, seed: settings.seed)
      let trainer = try Trainer(
        model, pairs: text.encoded(vocabulary), options: settings.options, device: device,
        communicator: communicator)
      var run = TrainingRun(
        folder: output, settings: settings, trainer: trainer, device: device,
        communicator: communicator)
      if let held {
        run.held = held.encoded(vocabulary)
        run.score = { translations in
          let bleu = BLEU().score(
            translations.map { vocabulary.decode($0) },
            references: Array(held.targets.prefix(translations.count)))
          return ("BLEU", bleu.value)
        }
      }
      try run.run()
    }
  }

  func validate() throws {
    if let task, task != "en-de" { throw ValidationError("--task is en-de") }
    if task != nil, source != nil || target != nil {
      throw ValidationError("give --task or --source and --target, not both")
    }
    if task == nil, source == nil || target == nil {
      throw ValidationError("give --task en-de, or --source and --target")
    }
    guard (validSource == nil) == (validTarget == nil) else {
      throw ValidationError("--valid-source and --valid-target belong together")
    }
    if merges < 1 { throw ValidationError("--merges must be at least 1") }
  }

  private func parallelFiles() throws -> (
    source: String, target: String, held: (source: String, target: String)?
  ) {
    if let source, let target {
      return (source, target, validSource.flatMap { s in validTarget.map { (s, $0) } })
    }
    let folder = try DebianPairs.folder()
    return (
      "\(folder)/train.en", "\(folder)/train.de", ("\(folder)/valid.en", "\(folder)/valid.de")
    )
  }

  /// The folder's vocabulary, learnt where there is none.
  private func vocabulary(_ text: ParallelText, isFirst: Bool) throws -> SubwordVocabulary {
    let path = "\(output)/vocabulary.txt"
    if !FileManager.default.fileExists(atPath: path) {
      let learnt = SubwordVocabulary(
        learning: text.sources + text.targets, mergeCount: merges)
      if isFirst {
        Terminal.note("vocabulary: \(learnt.tokens.count) tokens, \(learnt.merges.count) merges")
        try learnt.save(folder: output)
      }
      return learnt
    }
    return try SubwordVocabulary(folder: output)
  }
}
