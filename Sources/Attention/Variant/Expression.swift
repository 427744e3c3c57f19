/// What a variant's closure leaves behind: a tree over a score and its place.
///
/// A value, hashable, so that equal subtrees are found and computed once. Conditions are numbers
/// too, 1 or 0. The tree has several meanings: `evaluate` (Double), `interval` (what a tile can
/// contain) and `TileProgram` (vector operations of the CPU).
package indirect enum Expression: Sendable, Hashable {
  /// A number.
  case constant(Double)
  /// The scaled score q·k of this place.
  case score
  /// A coordinate of this place.
  case position(Position)
  /// A scalar parameter of the variant, by number.
  case parameter(Int)
  /// The entry of a per-head vector for this query head, by number.
  case perHead(Int)
  /// A function of one argument.
  case unary(Unary, Expression)
  /// A function of two arguments.
  case binary(Binary, Expression, Expression)
  /// The second argument where the first is not 0, else the third.
  case select(Expression, Expression, Expression)

  /// A coordinate of a score.
  package enum Position: Sendable, Hashable, BitwiseCopyable, CaseIterable {
    case query, kv, queryHead, kvHead, request, queryLength, kvLength
  }

  /// A function of one argument.
  package enum Unary: Sendable, Hashable, BitwiseCopyable, CaseIterable {
    case negate, absolute, exp, log, tanh, sigmoid, squareRoot, floor, not
  }

  /// A function of two arguments.
  package enum Binary: Sendable, Hashable, BitwiseCopyable, CaseIterable {
    case add, subtract, multiply, divide, minimum, maximum
    case less, lessOrEqual, equal, and, or
  }
}

extension Expression {
  /// Whether the value changes along the kv axis of a tile (it contains the score or `at.kv`).
  package var variesAlongKV: Bool {
    switch self {
    case .score, .position(.kv): true
    case .constant, .position, .parameter, .perHead: false
    case .unary(_, let a): a.variesAlongKV
    case .binary(_, let a, let b): a.variesAlongKV || b.variesAlongKV
    case .select(let c, let a, let b): c.variesAlongKV || a.variesAlongKV || b.variesAlongKV
    }
  }

  /// The tree with every score replaced: the composition of two logits functors.
  package func substituting(score: Expression) -> Expression {
    replacing { $0 == .score ? score : nil }
  }

  /// The tree with parameters and per-head vectors renumbered.
  package func shifting(parameters: Int, perHead: Int) -> Expression {
    replacing {
      switch $0 {
      case .parameter(let i): .parameter(i + parameters)
      case .perHead(let i): .perHead(i + perHead)
      default: nil
      }
    }
  }

  /// The tree with subtrees exchanged, from the root down, and simplified again.
  package func replacing(_ replace: (Expression) -> Expression?) -> Expression {
    if let replaced = replace(self) { return replaced }
    return switch self {
    case .constant, .score, .position, .parameter, .perHead: self
    case .unary(let f, let a): .make(f, a.replacing(replace))
    case .binary(let f, let a, let b): .make(f, a.replacing(replace), b.replacing(replace))
    case .select(let c, let a, let b):
      .makeSelect(c.replacing(replace), a.replacing(replace), b.replacing(replace))
    }
  }
}
