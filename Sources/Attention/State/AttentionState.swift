import Glibc

/// The attention of one query row over a set of KV rows: the output O and its log-sum-exp.
///
/// States over disjoint sets merge with ⊕ into the state of their union (FlashInfer, §2.2:
/// arXiv 2501.01005). ⊕ is associative and commutative up to rounding, and `(0, −∞)`, the state of
/// the empty set, is its exact identity. Kept in 32-bit floats whatever the output type.
public struct AttentionState: Sendable, Hashable {
  /// The output row, the softmax-weighted mean of the values.
  public var output: [Float]
  /// The logarithm of the softmax denominator.
  public var logSumExp: LogSumExp

  /// A state with the given parts.
  public init(output: [Float], logSumExp: LogSumExp) {
    self.output = output
    self.logSumExp = logSumExp
  }

  /// The state of the empty set: zeros and −∞.
  public static func empty(dimension: Int) -> AttentionState {
    AttentionState(output: [Float](repeating: 0, count: dimension), logSumExp: .empty)
  }

  /// The merge ⊕: the state of the union of two disjoint KV sets.
  ///
  /// O = (w₁·O₁ + w₂·O₂) / (w₁ + w₂) with wᵢ = exp(LSEᵢ − max LSE). An empty state is an exact
  /// identity whatever its output holds. Both outputs must have the same length; the longer one is
  /// cut.
  public func merged(with other: AttentionState) -> AttentionState {
    if other.logSumExp.isEmpty { return logSumExp.isEmpty ? .empty(dimension: output.count) : self }
    if logSumExp.isEmpty { return other }
    let top = max(logSumExp.natural, other.logSumExp.natural)
    let mine = exp(logSumExp.natural - top)
    let theirs = exp(other.logSumExp.natural - top)
    let total = mine + theirs
    let merged = zip(output, other.output).map { ($0 * mine + $1 * theirs) / total }
    return AttentionState(output: merged, logSumExp: LogSumExp(natural: top + log(total)))
  }
}

infix operator ⊕ : AdditionPrecedence

/// The merge of two attention states; see ``AttentionState/merged(with:)``.
public func ⊕ (a: AttentionState, b: AttentionState) -> AttentionState { a.merged(with: b) }
