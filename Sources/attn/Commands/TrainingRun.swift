import Checkpoints
import Devices
import Foundation
import Tensors
import Transformer

/// A training from its checkpoint, or its beginning, to the averaged model.
struct TrainingRun {
  let command: TrainCommand
  let trainer: Trainer
  let vocabulary: SubwordVocabulary
  let held: ParallelText?
  let device: CPUDevice
  /// Whether another process of the run does the talking and writing.
  let isQuiet: Bool

  private var folder: String { command.output }
  private var checkpoint: String { "\(folder)/checkpoint.safetensors" }

  func run() throws {
    var log = TrainingLog(folder: folder)
    if FileManager.default.fileExists(atPath: checkpoint) {
      try trainer.resume(from: checkpoint)
    }
    if !isQuiet { try log.begin(after: trainer.step) }
    let heldPairs = held?.encoded(vocabulary) ?? []
    var progress = TrainingProgress(from: trainer.step, to: command.steps)
    if !isQuiet {
      Terminal.note(
        "\(trainer.model.weights.layout.count) parameters, \(trainer.pairCount) pairs, "
          + "\(device.instructionSet.rawValue), \(device.pool.count) threads, step \(trainer.step)")
    }
    let start = ContinuousClock.now
    var saved = start
    while trainer.step < command.steps {
      let report = try trainer.advance()
      if isQuiet { continue }
      progress.update(report)
      let now = ContinuousClock.now
      log.add(report, seconds: (now - start) / .seconds(1))
      let isOver = command.minutes.map { (now - start) / .seconds(60) >= $0 } ?? false
      let isLast = report.step == command.steps
      if report.step % command.snapshotSteps == 0 || isLast { try snapshot(report.step) }
      if !heldPairs.isEmpty, report.step % command.validateSteps == 0 || isLast {
        progress.clear()
        try validate(heldPairs, report.step, &log)
      }
      if isLast || isOver || (now - saved) / .seconds(60) >= command.checkpointMinutes {
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
    for old in try snapshots().dropLast(command.average) {
      try FileManager.default.removeItem(atPath: snapshotPath(old))
    }
  }

  private func validate(_ pairs: [EncodedPair], _ step: Int, _ log: inout TrainingLog) throws {
    let loss = try trainer.loss(of: pairs)
    let sources = Array(pairs.prefix(command.validateSentences).map(\.source))
    let translator = try Translator(trainer.model, device: device)
    let translations = try translator.translate(sources, search: .greedy)
    let bleu = BLEU().score(
      translations.map { vocabulary.decode($0.first?.tokens ?? []) },
      references: Array((held?.targets ?? []).prefix(sources.count)))
    log.addValidation(step: step, loss: loss, bleu: bleu.value)
    let perplexity = exp(loss.meanNegativeLogLikelihood)
    Terminal.note(
      String(
        format: "step %d: validation loss %.3f, perplexity %.2f, BLEU %.2f (greedy, %d sentences)",
        step, loss.meanNegativeLogLikelihood, perplexity, bleu.value, sources.count))
  }

  /// The mean of the last snapshots, as 16-bit floats.
  private func finish() throws {
    let paths = try snapshots().suffix(command.average).map(snapshotPath)
    let weights =
      try paths.isEmpty
      ? [trainer.model.weights] : paths.map { try TransformerModel.load(path: $0).model.weights }
    let model = try TransformerModel(
      trainer.model.configuration, weights: Parameters.mean(of: weights))
    try model.save(to: "\(folder)/model.safetensors", type: .bfloat16)
    Terminal.note(
      "\(folder)/model.safetensors: the mean of \(weights.count) snapshots; "
        + "attn translate --model \(folder) \"…\"")
  }
}

/// A line that is drawn over itself: step, loss, tokens/s and the time that is left.
struct TrainingProgress {
  private let first: Int
  private let last: Int
  private let start = ContinuousClock.now
  private var drawn = ContinuousClock.now
  private var tokens = 0
  private var sinceTokens = 0
  private var loss = 0.0
  private var losses = 0
  private let isTerminal = isatty(STDERR_FILENO) != 0

  init(from first: Int, to last: Int) {
    self.first = first
    self.last = last
  }

  mutating func update(_ report: Trainer.Report) {
    tokens += report.loss.tokens
    sinceTokens += report.loss.tokens
    loss += report.loss.mean
    losses += 1
    let now = ContinuousClock.now
    let seconds = (now - drawn) / .seconds(1)
    guard seconds >= (isTerminal ? 0.5 : 30) || report.step == last else { return }
    let elapsed = (now - start) / .seconds(1)
    let left = elapsed / Double(report.step - first) * Double(last - report.step)
    let cells = last > 0 ? 20 * report.step / last : 20
    let bar =
      String(repeating: "#", count: cells) + String(repeating: ".", count: 20 - cells)
    let text = String(
      format: "step %d/%d [%@] epoch %d, loss %.3f, rate %.2e, %.0f tok/s, %@ left",
      report.step, last, bar, report.epoch, loss / Double(max(losses, 1)), report.rate,
      Double(sinceTokens) / max(seconds, 1e-9), Self.time(left))
    if isTerminal {
      FileHandle.standardError.write(Data("\r\u{1B}[K\(text)".utf8))
    } else {
      Terminal.note(text)
    }
    (drawn, sinceTokens, loss, losses) = (now, 0, 0, 0)
  }

  func clear() {
    if isTerminal { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
    guard tokens > 0 else { return }
    let rate = Double(tokens) / max((ContinuousClock.now - start) / .seconds(1), 1e-9)
    Terminal.note(String(format: "%d target tokens, %.0f tok/s", tokens, rate))
  }

  private static func time(_ seconds: Double) -> String {
    seconds >= 3600
      ? String(format: "%.1f h", seconds / 3600)
      : seconds >= 120 ? String(format: "%.0f min", seconds / 60) : String(format: "%.0f s", seconds)
  }
}

/// The curves of a training: `log.csv`, `valid.csv` and `loss.svg`.
struct TrainingLog {
  private static let header = "step,epoch,rate,loss,negative_log_likelihood,gradient_norm,tokens,seconds"
  private static let validHeader = "step,negative_log_likelihood,perplexity,bleu"

  private let folder: String
  private var rows: [String] = []
  private var validRows: [String] = []
  private var curve: [(step: Int, loss: Double)] = []
  private var validCurve: [(step: Int, loss: Double)] = []

  init(folder: String) { self.folder = folder }

  /// Takes what an earlier run left, up to the step that goes on.
  mutating func begin(after step: Int) throws {
    func kept(_ name: String) -> [String] {
      let text = (try? String(contentsOfFile: "\(folder)/\(name)", encoding: .utf8)) ?? ""
      return text.split(separator: "\n").dropFirst().map(String.init).filter {
        $0.split(separator: ",").first.flatMap { Int($0) }.map { $0 <= step } ?? false
      }
    }
    func points(_ rows: [String], column: Int) -> [(step: Int, loss: Double)] {
      rows.compactMap { row in
        let fields = row.split(separator: ",")
        guard fields.count > column, let step = Int(fields[0]), let loss = Double(fields[column])
        else { return nil }
        return (step, loss)
      }
    }
    rows = kept("log.csv")
    validRows = kept("valid.csv")
    curve = points(rows, column: 4)
    validCurve = points(validRows, column: 1)
  }

  mutating func add(_ report: Trainer.Report, seconds: Double) {
    rows.append(
      "\(report.step),\(report.epoch),\(report.rate),\(report.loss.mean),"
        + "\(report.loss.meanNegativeLogLikelihood),\(report.gradientNorm),\(report.loss.tokens),"
        + String(format: "%.2f", seconds))
    curve.append((report.step, report.loss.meanNegativeLogLikelihood))
  }

  mutating func addValidation(step: Int, loss: Gradient.Loss, bleu: Double) {
    let mean = loss.meanNegativeLogLikelihood
    validRows.append("\(step),\(mean),\(exp(mean)),\(bleu)")
    validCurve.append((step, mean))
  }

  func flush() throws {
    try write("log.csv", ([Self.header] + rows).joined(separator: "\n") + "\n")
    try write("valid.csv", ([Self.validHeader] + validRows).joined(separator: "\n") + "\n")
    try write("loss.svg", LossDrawing(training: curve, validation: validCurve).svg)
  }

  private func write(_ name: String, _ text: String) throws {
    try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
  }
}

/// Curves of the loss over steps.
struct LossDrawing {
  let training: [(step: Int, loss: Double)]
  let validation: [(step: Int, loss: Double)]

  private static let (width, height, margin) = (720.0, 360.0, 44.0)

  var svg: String {
    let points = smoothed
    let steps = Double(max(points.last?.step ?? 1, 1))
    let top = max((points + validation).map(\.loss).max() ?? 1, 1)
    func place(_ step: Int, _ loss: Double) -> String {
      let x = Self.margin + Double(step) / steps * (Self.width - 2 * Self.margin)
      let y = Self.height - Self.margin - loss / top * (Self.height - 2 * Self.margin)
      return String(format: "%.1f,%.1f", x, y)
    }
    func line(_ points: [(step: Int, loss: Double)], _ colour: String) -> String {
      let places = points.map { place($0.step, $0.loss) }.joined(separator: " ")
      return "<polyline fill=\"none\" stroke=\"\(colour)\" points=\"\(places)\"/>\n"
    }
    var text = """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(Int(Self.width))" height="\(Int(Self.height))" \
      font-family="sans-serif" font-size="12">
      <rect width="100%" height="100%" fill="white"/>

      """
    for i in 0...4 {
      let loss = top * Double(i) / 4
      let y = Self.height - Self.margin - Double(i) / 4 * (Self.height - 2 * Self.margin)
      text += String(
        format: "<text x=\"6\" y=\"%.0f\">%.2f</text><line x1=\"%.0f\" x2=\"%.0f\" y1=\"%.0f\" "
          + "y2=\"%.0f\" stroke=\"#ddd\"/>\n", y + 4, loss, Self.margin,
        Self.width - Self.margin, y, y)
    }
    text += line(points, "#3366cc") + line(validation, "#cc3333")
    text += "<text x=\"\(Int(Self.margin))\" y=\"\(Int(Self.height) - 12)\">steps to \(Int(steps)); "
    text += "blue: training, red: validation; −log p per token</text>\n</svg>\n"
    return text
  }

  /// At most 500 points, each the mean of its neighbours.
  private var smoothed: [(step: Int, loss: Double)] {
    let run = max(training.count / 500, 1)
    return stride(from: 0, to: training.count, by: run).map { first in
      let part = training[first..<min(first + run, training.count)]
      return (part.last?.step ?? 0, part.reduce(0) { $0 + $1.loss } / Double(part.count))
    }
  }
}
