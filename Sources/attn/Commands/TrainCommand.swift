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
  var merges = 8000

  @OptionGroup var transformer: TransformerOptions

  @Option(help: "Optimizer steps.")
  var steps = 20_000

  @Option(help: "Stop after so many minutes, whatever the steps; the next run goes on.")
  var minutes: Double?

  @Option(help: "Target tokens of a pass.")
  var batchTokens = 2048

  @Option(help: "Passes of a step.")
  var accumulate = 1

  @Option(help: "Steps of rising learning rate.")
  var warmup = 2000

  @Option(help: "What the schedule is multiplied by.")
  var rateFactor: Float = 1

  @Option(help: "Clip the gradient's norm.")
  var clip: Float?

  @Option(help: "The seed of weights, order and dropout.")
  var seed: UInt64 = 1

  @Option(
    help: "f32 or bf16: what products round their factors to. Weights stay f32.", transform: choice)
  var precision: ProductPrecision = .bfloat16

  @Flag(help: "Batches of sentences of about one length.")
  var byLength = false

  @Option(help: "Minutes between checkpoints.")
  var checkpointMinutes = 5.0

  @Option(help: "Steps between snapshots of the weights, which are averaged at the end.")
  var snapshotSteps = 1000

  @Option(help: "How many of the last snapshots are averaged.")
  var average = 5

  @Option(help: "Steps between validations (loss, and BLEU of greedy translations).")
  var validateSteps = 1000

  @Option(help: "Held-out sentences translated at a validation.")
  var validateSentences = 200

  @Flag(help: "One of several processes of an Open MPI run that train together.")
  var mpi = false

  @Option(help: "Worker threads (ATTENTION_THREADS; default: all processors).")
  var threads: Int?

  func run() throws {
    try reportingErrors {
      let exchange = mpi ? try MPIExchange() : nil
      let files = try parallelFiles()
      let text = try ParallelText(source: files.source, target: files.target)
      let held = try files.held.map { try ParallelText(source: $0.source, target: $0.target) }
      try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
      let vocabulary = try vocabulary(text, isFirst: (exchange?.rank ?? 0) == 0)
      let configuration = try transformer.configuration(vocabulary: vocabulary.tokens.count)
      let device = try CPUDevice(threads: threads)
      let model = try TransformerModel(configuration, seed: seed)
      let trainer = try Trainer(
        model, pairs: text.encoded(vocabulary), options: options, device: device,
        exchange: exchange)
      let run = TrainingRun(
        command: self, trainer: trainer, vocabulary: vocabulary, held: held, device: device,
        isQuiet: (exchange?.rank ?? 0) != 0)
      try run.run()
    }
  }

  private var options: TrainingOptions {
    var options = TrainingOptions()
    options.steps = steps
    options.batchTokens = batchTokens
    options.accumulation = max(accumulate, 1)
    options.warmup = warmup
    options.rateFactor = rateFactor
    options.clip = clip
    options.seed = seed
    options.usesBFloat16 = precision == .bfloat16
    options.sortsByLength = byLength
    options.averaged = average
    return options
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
    for (name, value) in [
      ("steps", steps), ("batch-tokens", batchTokens), ("snapshot-steps", snapshotSteps),
      ("validate-steps", validateSteps), ("average", average), ("merges", merges),
    ] where value < 1 {
      throw ValidationError("--\(name) must be at least 1")
    }
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

/// The pairs of `--task en-de`, built once by a script of the project.
enum DebianPairs {
  static func folder() throws -> String {
    let environment = ProcessInfo.processInfo.environment
    let cache =
      environment["XDG_CACHE_HOME"].map { "\($0)/swift-attention" }
      ?? "\(environment["HOME"] ?? ".")/.cache/swift-attention"
    let folder = "\(cache)/pairs/en-de"
    let files = FileManager.default
    let names = ["train", "valid", "test"].flatMap { ["\($0).en", "\($0).de"] }
    if names.allSatisfy({ files.fileExists(atPath: "\(folder)/\($0)") }) { return folder }
    guard let script = script() else {
      throw CommandFailure(
        .noInput,
        "\(folder) has no pairs yet; run: python3 scripts/debian_pairs.py --out \(folder)")
    }
    Terminal.note("building pairs from Debian's package descriptions in \(folder)")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["python3", script, "--out", folder]
    process.standardOutput = FileHandle.standardError
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw CommandFailure(.noInput, "\(script) failed with \(process.terminationStatus)")
    }
    return folder
  }

  /// The script, beside the working folder or above the program.
  private static func script() -> String? {
    let name = "scripts/debian_pairs.py"
    var folders = [FileManager.default.currentDirectoryPath]
    var url = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    for _ in 0..<6 {
      url.deleteLastPathComponent()
      folders.append(url.path)
    }
    return folders.map { "\($0)/\(name)" }.first { FileManager.default.fileExists(atPath: $0) }
  }
}
