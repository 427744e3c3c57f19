import Glibc

extension Expression.Unary {
  /// The function's value in Double, its definition.
  package func callAsFunction(_ x: Double) -> Double {
    switch self {
    case .negate: -x
    case .absolute: abs(x)
    case .exp: Glibc.exp(x)
    case .log: Glibc.log(x)
    case .tanh: Glibc.tanh(x)
    case .sigmoid: 1 / (1 + Glibc.exp(-x))
    case .squareRoot: x.squareRoot()
    case .floor: x.rounded(.down)
    case .not: x == 0 ? 1 : 0
    }
  }
}

extension Expression.Binary {
  /// The function's value in Double, its definition.
  package func callAsFunction(_ x: Double, _ y: Double) -> Double {
    switch self {
    case .add: x + y
    case .subtract: x - y
    case .multiply: x * y
    case .divide: x / y
    case .minimum: x < y ? x : y
    case .maximum: x > y ? x : y
    case .less: x < y ? 1 : 0
    case .lessOrEqual: x <= y ? 1 : 0
    case .equal: x == y ? 1 : 0
    case .and: x != 0 && y != 0 ? 1 : 0
    case .or: x != 0 || y != 0 ? 1 : 0
    }
  }
}

/// The place of one score, with the parameters in force: what an expression is evaluated at.
package struct ScorePlace: Sendable {
  /// Absolute position of the query: kvLength − queryLength + its index in the request.
  package var query = 0
  /// Absolute position of the key.
  package var kv = 0
  /// The query head.
  package var queryHead = 0
  /// The key/value head.
  package var kvHead = 0
  /// The request's number in the batch.
  package var request = 0
  /// New tokens of the request.
  package var queryLength = 0
  /// Tokens of the request that have keys.
  package var kvLength = 0

  /// The origin.
  package init() {}

  /// A coordinate.
  package subscript(position: Expression.Position) -> Int {
    switch position {
    case .query: query
    case .kv: kv
    case .queryHead: queryHead
    case .kvHead: kvHead
    case .request: request
    case .queryLength: queryLength
    case .kvLength: kvLength
    }
  }
}

extension Expression {
  /// The tree's value in Double: the reference meaning of a variant.
  package func evaluate(score: Double, at place: ScorePlace, _ parameters: VariantParameters)
    -> Double
  {
    switch self {
    case .constant(let x): x
    case .score: score
    case .position(let p): Double(place[p])
    case .parameter(let i): Double(parameters.scalars[i])
    case .perHead(let i): Double(parameters.vectors[i][place.queryHead])
    case .unary(let f, let a): f(a.evaluate(score: score, at: place, parameters))
    case .binary(let f, let a, let b):
      f(
        a.evaluate(score: score, at: place, parameters),
        b.evaluate(score: score, at: place, parameters))
    case .select(let c, let a, let b):
      c.evaluate(score: score, at: place, parameters) != 0
        ? a.evaluate(score: score, at: place, parameters)
        : b.evaluate(score: score, at: place, parameters)
    }
  }
}
