import Glibc

/// The logarithm of a row's softmax denominator, ln Σ exp(sᵢ), carrying its base in its type.
///
/// Natural inside. FlashInfer's tensors hold the same quantity in base 2; say which one you mean
/// with `natural` or `base2`.
public struct LogSumExp: Sendable, Hashable, BitwiseCopyable {
  /// The value in natural logarithm, −∞ for a row that attends to nothing.
  public var natural: Float

  /// A value given in natural logarithm.
  @inlinable
  public init(natural: Float) { self.natural = natural }

  /// A value given in base 2, as FlashInfer keeps it.
  @inlinable
  public init(base2: Float) { natural = base2 * 0.693147180559945309 }

  /// The value in base 2, log₂ Σ exp(sᵢ).
  @inlinable
  public var base2: Float { natural * 1.44269504088896341 }

  /// The value of a row that attends to nothing, −∞.
  @inlinable
  public static var empty: LogSumExp { LogSumExp(natural: -.infinity) }

  /// Whether the row attends to nothing.
  @inlinable
  public var isEmpty: Bool { natural == -.infinity }
}

extension LogSumExp {
  /// The base that a tensor's logarithms have.
  public enum Base: Sendable, Hashable {
    /// e, as in this engine.
    case natural
    /// 2, as in FlashInfer.
    case two
  }

  /// A value given in some base.
  public init(_ value: Float, base: Base) {
    switch base {
    case .natural: self.init(natural: value)
    case .two: self.init(base2: value)
    }
  }

  /// The value in some base.
  public func value(in base: Base) -> Float {
    switch base {
    case .natural: natural
    case .two: base2
    }
  }
}
