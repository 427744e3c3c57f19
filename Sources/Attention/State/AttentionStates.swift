public import Tensors

/// The attention states of many rows as two borrowed matrices, FlashInfer's tensors `V` and `S`.
///
/// - Invariant: as for `MatrixView`: whoever makes it keeps the memory alive.
public struct AttentionStates: Sendable {
  /// The outputs: rows × (heads · D).
  public var outputs: MatrixView
  /// The log-sum-exps: rows × heads, −∞ where a head attends to nothing.
  public var logSumExps: MatrixView
  /// The base of the logarithms.
  public var base: LogSumExp.Base

  /// States in the given matrices.
  public init(outputs: MatrixView, logSumExps: MatrixView, base: LogSumExp.Base = .natural) {
    self.outputs = outputs
    self.logSumExps = logSumExps
    self.base = base
  }

  /// The number of rows.
  public var rows: Int { logSumExps.rows }

  /// The number of heads of a row.
  public var heads: Int { logSumExps.columns }

  /// The elements of a head's output; 0 of no heads.
  public var dimension: Int { heads == 0 ? 0 : outputs.columns / heads }

  func natural(_ row: Int, _ head: Int) -> Float {
    LogSumExp(logSumExps.row(row)[head], base: base).natural
  }

  func output(_ row: Int, _ head: Int) -> UnsafeMutablePointer<Float> {
    outputs.row(row) + head * dimension
  }

  /// Takes a value over, unchanged where the base is the same.
  func copyLogSumExp(of other: AttentionStates, _ row: Int, _ head: Int) {
    if base == other.base {
      logSumExps.row(row)[head] = other.logSumExps.row(row)[head]
    } else {
      setLogSumExp(other.natural(row, head), row, head)
    }
  }

  func setLogSumExp(_ value: Float, _ row: Int, _ head: Int) {
    logSumExps.row(row)[head] = LogSumExp(natural: value).value(in: base)
  }
}
