import Glibc
public import Tokenizers

extension ModelRunner {
  /// The mean of −ln p(token | all before it) over every token but the first, from an empty cache.
  ///
  /// Its exponential is the perplexity. NaN where there are fewer than two tokens.
  public func negativeLogLikelihood(_ tokens: [TokenID]) throws -> Double {
    truncate(to: 0)
    var sum = 0.0
    var next = 1
    _ = try extend(tokens.dropLast()) { logits in
      let largest = logits.max() ?? 0
      let total = logits.reduce(0.0) { $0 + exp(Double($1) - Double(largest)) }
      sum += log(total) + Double(largest) - Double(logits[Int(tokens[next])])
      next += 1
    }
    return sum / Double(next - 1)
  }
}
