/// What a variant's closure leaves behind: a tree over a score and its place, or over an element of
/// a vector and its place.
///
/// A value, hashable, so that equal subtrees are found and computed once. Conditions are numbers
/// too, 1 or 0. The tree has several meanings: `evaluate` (Double), `interval` (what a tile can
/// contain) and `BlockProgram` (vector operations of the CPU).
package indirect enum Expression: Sendable, Hashable {
  /// A number.
  case constant(Double)
  /// The scaled score q·k of this place.
  case score
  /// An element of the vector that a functor transforms.
  case element(Partner)
  /// A coordinate of this place.
  case position(Position)
  /// A scalar parameter of the variant, by number.
  case parameter(Int)
  /// The entry of a per-head vector for this query head, by number.
  case perHead(Int)
  /// An entry of a tensor parameter, by number.
  case tensor(Int, TensorRow)
  /// Whether the custom mask of this number lets the query see the key.
  case bit(Int)
  /// Whether a nullable parameter has a value.
  case isPresent(Nullable)
  /// A function of one argument.
  case unary(Unary, Expression)
  /// A function of two arguments.
  case binary(Binary, Expression, Expression)
  /// The second argument where the first is not 0, else the third.
  case select(Expression, Expression, Expression)

  /// A coordinate of a score or of an element.
  package enum Position: Sendable, Hashable, BitwiseCopyable, CaseIterable {
    case query, kv, queryHead, kvHead, request, queryLength, kvLength
    /// The element's number in its vector, and how many there are.
    case dimension, dimensionCount
    /// The row of a table; only in expressions that were made into one.
    case index
  }

  /// Which element of a vector is meant, seen from element i.
  package enum Partner: Sendable, Hashable, BitwiseCopyable {
    /// i itself.
    case own
    /// i + 1 for even i, i − 1 for odd i.
    case neighbour
    /// i + n/2 below n/2, i − n/2 from there to n, i itself from n on; `nil` is the whole vector.
    case opposite(Int?)
  }

  /// Which row of a tensor parameter is read.
  package enum TensorRow: Sendable, Hashable, BitwiseCopyable {
    /// The token at the key's position, or at the query's.
    case key, query
    /// The query's row among the new tokens.
    case queryRow
    /// The request.
    case request
    /// The only one.
    case only
  }

  /// A parameter that may be absent.
  package enum Nullable: Sendable, Hashable, BitwiseCopyable {
    case parameter(Int)
    case tensor(Int)
    case mask(Int)
  }

  /// A function of one argument.
  package enum Unary: Sendable, Hashable, BitwiseCopyable, CaseIterable {
    case negate, absolute, exp, log, tanh, sigmoid, squareRoot, floor, not, sine, cosine
  }

  /// A function of two arguments.
  package enum Binary: Sendable, Hashable, BitwiseCopyable, CaseIterable {
    case add, subtract, multiply, divide, minimum, maximum
    case less, lessOrEqual, equal, and, or, power
  }
}

extension Expression {
  /// The arguments of a function; empty for a leaf.
  package var children: [Expression] {
    switch self {
    case .constant, .score, .element, .position, .parameter, .perHead, .tensor, .bit, .isPresent: []
    case .unary(_, let a): [a]
    case .binary(_, let a, let b): [a, b]
    case .select(let c, let a, let b): [c, a, b]
    }
  }

  /// Whether any subtree satisfies a condition.
  package func contains(_ condition: (Expression) -> Bool) -> Bool {
    condition(self) || children.contains { $0.contains(condition) }
  }

  /// The elements of its vector that a functor's tree reads, each once, in the order of the tree.
  package var partners: [Partner] {
    var found: [Partner] = []
    _ = contains {
      if case .element(let partner) = $0, !found.contains(partner) { found.append(partner) }
      return false
    }
    return found
  }

  /// The tree with every score replaced: the composition of two logits functors.
  package func substituting(score: Expression) -> Expression {
    replacing { $0 == .score ? score : nil }
  }

  /// The tree with parameters of every kind renumbered.
  package func shifting(by counts: ParameterCounts) -> Expression {
    replacing {
      switch $0 {
      case .parameter(let i): .parameter(i + counts.scalars)
      case .perHead(let i): .perHead(i + counts.vectors)
      case .tensor(let i, let row): .tensor(i + counts.tensors, row)
      case .bit(let i): .bit(i + counts.masks)
      case .isPresent(.parameter(let i)): .isPresent(.parameter(i + counts.scalars))
      case .isPresent(.tensor(let i)): .isPresent(.tensor(i + counts.tensors))
      case .isPresent(.mask(let i)): .isPresent(.mask(i + counts.masks))
      default: nil
      }
    }
  }

  /// The tree with subtrees exchanged, from the root down, and simplified again.
  package func replacing(_ replace: (Expression) -> Expression?) -> Expression {
    if let replaced = replace(self) { return replaced }
    return switch self {
    case .constant, .score, .element, .position, .parameter, .perHead, .tensor, .bit, .isPresent:
      self
    case .unary(let f, let a): .make(f, a.replacing(replace))
    case .binary(let f, let a, let b): .make(f, a.replacing(replace), b.replacing(replace))
    case .select(let c, let a, let b):
      .makeSelect(c.replacing(replace), a.replacing(replace), b.replacing(replace))
    }
  }
}

/// How many parameters of each kind a variant has.
package struct ParameterCounts: Sendable, Hashable {
  package var scalars = 0
  package var vectors = 0
  package var tensors = 0
  package var masks = 0

  package init() {}
}
