import Glibc
import Tokenizers

/// The probabilities of a row of logits as the model gave them: kept before anything changes them.
struct LogitReport {
  private let logits: [Float]
  private let logSumExp: Double
  private let top: [TokenLogprob]

  /// - Parameter top: How many most probable tokens to report.
  init(_ row: UnsafePointer<Float>, count: Int, top: Int) {
    logits = Array(UnsafeBufferPointer(start: row, count: count))
    let largest = logits.max() ?? 0
    var sum = 0.0
    for logit in logits { sum += Double(exp(logit - largest)) }
    logSumExp = log(sum) + Double(largest)
    var best: [(id: Int, logit: Float)] = []
    if top > 0 {
      // A short sorted list: a new entry is rare once the list is full.
      for (id, logit) in logits.enumerated()
      where best.count < top || logit > best[best.count - 1].logit {
        let place = best.firstIndex { $0.logit < logit } ?? best.endIndex
        best.insert((id, logit), at: place)
        if best.count > top { best.removeLast() }
      }
    }
    let lse = logSumExp
    self.top = best.map {
      TokenLogprob(id: TokenID($0.id), logprob: Float(Double($0.logit) - lse))
    }
  }

  /// A token with its own probability and the most probable ones.
  func output(_ token: TokenID) -> TokenOutput {
    var output = TokenOutput(id: token)
    output.logprob = Float(Double(logits[Int(token)]) - logSumExp)
    output.top = top
    return output
  }
}
