import Checkpoints
import Devices
import Foundation
import Tensors
import Transformer

/// A training from its checkpoint, or its beginning, to the averaged model.
struct TrainingRun {
  let folder: String
  let settings: TrainingSettings
  let trainer: Trainer
  let device: CPUDevice
  /// The other processes of the run; the first one's does the talking and writing, and its clock
  /// decides.
  let communicator: (any Communicator)?
  /// Held-out pairs.
  var held: [EncodedPair] = []
  /// A score of greedy translations of the first held-out pairs, and its name.
  var score: ([[Int32]]) -> (name: String, value: Double) = { _ in ("score", .nan) }

  private var isQuiet: Bool { (communicator?.rank ?? 0) != 0 }
  private var checkpoint: String { "\(folder)/checkpoint.safetensors" }

  func run() throws {
    do { try train() } catch {
      // The others would wait for this one's sums.
      communicator?.abort("\(error)")
      throw error
    }
  }

  private func train() throws {
    var log = TrainingLog(folder: folder)
    if FileManager.default.fileExists(atPath: checkpoint) {
      try trainer.resume(from: checkpoint)
    }
    if !isQuiet { try log.begin(after: trainer.step) }
    var progress = TrainingProgress(from: trainer.step, to: settings.steps)
    if !isQuiet {
      Terminal.note(
        "\(trainer.model.weights.layout.count) parameters, \(trainer.pairCount) pairs, "
          + "\(device.instructionSet.rawValue), \(device.pool.count) threads, step \(trainer.step)")
    }
    let start = ContinuousClock.now
    var saved = start
    while trainer.step < settings.steps {
      let report = try trainer.advance()
      let now = ContinuousClock.now
      let isOver = try isOver(after: now - start)
      if isQuiet {
        if isOver { break }
        continue
      }
      progress.update(report)
      log.add(report, seconds: (now - start) / .seconds(1))
      let isLast = report.step == settings.steps
      if report.step % settings.snapshotSteps == 0 || isLast { try snapshot(report.step) }
      if !held.isEmpty, report.step % settings.validateSteps == 0 || isLast {
        progress.clear()
        try validate(report.step, &log)
      }
      if isLast || isOver || (now - saved) / .seconds(60) >= settings.checkpointMinutes {
        try trainer.save(to: checkpoint)
        try log.flush()
        saved = now
      }
      if isOver { break }
    }
    guard !isQuiet else { return }
    progress.clear()
    try trainer.save(to: checkpoint)
    try log.flush()
    try finish()
  }

  /// Whether `--minutes` have passed, by the first process's clock.
  private func isOver(after time: Duration) throws -> Bool {
    guard let minutes = settings.minutes else { return false }
    let isOver = !isQuiet && time / .seconds(60) >= minutes
    return try communicator?.isTrueAnywhere(isOver) ?? isOver
  }

  private func snapshotPath(_ step: Int) -> String { "\(folder)/weights-\(step).safetensors" }

  /// The steps of the snapshots that are there, ascending.
  private func snapshots() throws -> [Int] {
    try FileManager.default.contentsOfDirectory(atPath: folder).compactMap { name in
      guard name.hasPrefix("weights-"), name.hasSuffix(".safetensors") else { return nil }
      return Int(name.dropFirst("weights-".count).dropLast(".safetensors".count))
    }.filter { $0 <= trainer.step }.sorted()
  }

  /// Keeps this step's weights, and no more than are averaged.
  private func snapshot(_ step: Int) throws {
    try trainer.model.writer().write(to: snapshotPath(step))
    for old in try snapshots().dropLast(settings.average) {
      try FileManager.default.removeItem(atPath: snapshotPath(old))
    }
  }

  private func validate(_ step: Int, _ log: inout TrainingLog) throws {
    let loss = try trainer.loss(of: held)
    let sources = held.prefix(settings.validateSentences).map(\.source)
    let translations = try Translator(trainer.model, device: device)
      .translate(sources, search: .greedy)
    let (name, value) = score(translations.map { $0.first?.tokens ?? [] })
    log.addValidation(step: step, loss: loss, score: value)
    Terminal.note(
      String(
        format: "step %d: validation loss %.3f, perplexity %.2f, %@ %.2f (greedy, %d sentences)",
        step, loss.meanNegativeLogLikelihood, exp(loss.meanNegativeLogLikelihood), name, value,
        sources.count))
  }

  /// The mean of the last snapshots, as 16-bit floats.
  private func finish() throws {
    let paths = try snapshots().suffix(settings.average).map(snapshotPath)
    let weights =
      try paths.isEmpty
      ? [trainer.model.weights] : paths.map { try TransformerModel.load(path: $0).model.weights }
    let model = try TransformerModel(
      trainer.model.configuration, weights: Parameters.mean(of: weights))
    try model.save(to: "\(folder)/model.safetensors", type: .bfloat16)
    Terminal.note(
      "\(folder)/model.safetensors: the mean of \(weights.count) snapshots; "
        + "for --model \(folder)")
  }
}
