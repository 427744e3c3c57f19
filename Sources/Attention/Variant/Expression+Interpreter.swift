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
    case .sine: Glibc.sin(x)
    case .cosine: Glibc.cos(x)
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
    case .power: Glibc.pow(x, y)
    }
  }
}

extension Expression.Partner {
  /// The number of the element meant, seen from element `i` of `count`.
  package func callAsFunction(_ i: Int, of count: Int) -> Int {
    switch self {
    case .own: return i
    case .neighbour: return i ^ 1 < count ? i ^ 1 : i
    case .opposite(let part):
      let half = min(max(part ?? count, 0), count) / 2
      return i < half ? i + half : i < 2 * half ? i - half : i
    }
  }
}

/// The place of one score or element: what an expression is evaluated at.
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
  /// The element's number in its vector.
  package var dimension = 0
  /// Elements of the vector.
  package var dimensionCount = 0
  /// The row of a table.
  package var index = 0

  /// The origin.
  package init() {}

  /// The query's row among the request's new tokens.
  package var queryRow: Int { query - kvLength + queryLength }

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
    case .dimension: dimension
    case .dimensionCount: dimensionCount
    case .index: index
    }
  }
}

/// What an expression reads beside its place.
package struct Surroundings {
  /// The scaled score.
  package var score = 0.0
  /// The vector that a functor transforms.
  package var vector: [Double] = []
  /// Scalars and per-head vectors.
  package var parameters = VariantParameters()
  /// An entry of a tensor.
  package var tensor: (_ number: Int, _ row: Expression.TensorRow, _ place: ScorePlace) -> Double =
    {
      _, _, _ in .nan
    }
  /// A bit of a custom mask.
  package var bit: (_ number: Int, _ place: ScorePlace) -> Bool = { _, _ in false }
  /// Whether a nullable tensor or mask is bound.
  package var isBound: (Expression.Nullable) -> Bool = { _ in false }

  /// Nothing.
  package init() {}
}

extension Expression {
  /// The tree's value in Double: the reference meaning of a variant.
  package func evaluate(at place: ScorePlace, in surroundings: Surroundings) -> Double {
    func value(_ e: Expression) -> Double { e.evaluate(at: place, in: surroundings) }
    switch self {
    case .constant(let x): return x
    case .score: return surroundings.score
    case .element(let partner):
      let i = partner(place.dimension, of: surroundings.vector.count)
      return surroundings.vector[i]
    case .position(let p): return Double(place[p])
    case .parameter(let i): return Double(surroundings.parameters.scalars[i] ?? .nan)
    case .perHead(let i): return Double(surroundings.parameters.vectors[i][place.queryHead])
    case .tensor(let i, let row): return surroundings.tensor(i, row, place)
    case .bit(let i): return surroundings.bit(i, place) ? 1 : 0
    case .isPresent(.parameter(let i)): return surroundings.parameters.scalars[i] == nil ? 0 : 1
    case .isPresent(let nullable): return surroundings.isBound(nullable) ? 1 : 0
    case .unary(let f, let a): return f(value(a))
    case .binary(let f, let a, let b): return f(value(a), value(b))
    case .select(let c, let a, let b): return value(c) != 0 ? value(a) : value(b)
    }
  }

  /// The value of a tree that reads scalars and per-head vectors only.
  package func evaluate(score: Double, at place: ScorePlace, _ parameters: VariantParameters)
    -> Double
  {
    var surroundings = Surroundings()
    surroundings.score = score
    surroundings.parameters = parameters
    return evaluate(at: place, in: surroundings)
  }
}
