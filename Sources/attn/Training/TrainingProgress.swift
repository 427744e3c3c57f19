import Foundation
import Transformer

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
      : seconds >= 120
        ? String(format: "%.0f min", seconds / 60) : String(format: "%.0f s", seconds)
  }
}
