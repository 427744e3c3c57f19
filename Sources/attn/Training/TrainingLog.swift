import Foundation
import Transformer

/// The curves of a training: `log.csv`, `valid.csv` and `loss.svg`.
struct TrainingLog {
  private static let header =
    "step,epoch,rate,loss,negative_log_likelihood,gradient_norm,tokens,seconds"
  private static let validHeader = "step,negative_log_likelihood,perplexity,score"

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

  mutating func addValidation(step: Int, loss: Gradient.Loss, score: Double) {
    let mean = loss.meanNegativeLogLikelihood
    validRows.append("\(step),\(mean),\(exp(mean)),\(score)")
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
