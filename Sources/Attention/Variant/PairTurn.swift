/// A functor that turns pairs of elements, as rotary embeddings do: with the first element x of a pair
/// and the second y it makes c·x + s·y and c·y − s·x; an element without a partner becomes (c + s)·x.
///
/// It is found in an expression, however that is written.
struct PairTurn {
  /// How far apart the elements of a pair are, from the first half of them to the second; 0 where
  /// neighbours are pairs.
  let distance: Int
  /// c and s as functions of the place; of a pair's second element s has the other sign.
  let cosine: Expression
  let sine: Expression

  /// The turn that an expression means for vectors of `dimension` elements; nil where it means
  /// something else.
  init?(_ expression: Expression, dimension: Int) {
    // Entries of a vector over the dimensions differ within a pair, which no tree shows.
    let partners = expression.partners.filter { $0 != .own }
    guard partners.count == 1, let partner = partners.first,
      !expression.contains({ if case .tensor(_, .only) = $0 { true } else { false } }),
      let sum = WeightedPair(expression), let cosine = sum.own, let sine = sum.partner
    else { return nil }
    let second = partner(0, of: dimension)
    guard second > 0 else { return nil }
    distance = partner == .neighbour ? 0 : second
    (self.cosine, self.sine) = (cosine, sine)
    for i in 0..<dimension {
      let p = partner(i, of: dimension)
      guard p > i else { continue }
      let (s, t) = (sine.specialized(to: i, of: dimension), sine.specialized(to: p, of: dimension))
      guard s == .make(.negate, t) || t == .make(.negate, s),
        cosine.specialized(to: i, of: dimension) == cosine.specialized(to: p, of: dimension)
      else { return nil }
    }
  }
}

/// own·element + partner·its partner, the factors free of elements; nil is 0.
private struct WeightedPair {
  var own: Expression?
  var partner: Expression?

  init?(_ expression: Expression) {
    switch expression {
    case .element(.own): self.init(own: .constant(1), partner: nil)
    case .element: self.init(own: nil, partner: .constant(1))
    case .unary(.negate, let a):
      guard let a = WeightedPair(a) else { return nil }
      self = a.mapping { .make(.negate, $0) }
    case .binary(.add, let a, let b):
      guard let a = WeightedPair(a), let b = WeightedPair(b) else { return nil }
      self.init(a, b) { Self.sum(.add, $0, $1) }
    case .binary(.subtract, let a, let b):
      guard let a = WeightedPair(a), let b = WeightedPair(b) else { return nil }
      self.init(a, b) { Self.sum(.subtract, $0, $1) }
    case .binary(.multiply, let a, let factor) where factor.isFreeOfElements:
      guard let a = WeightedPair(a) else { return nil }
      self = a.mapping { .make(.multiply, $0, factor) }
    case .binary(.multiply, let factor, let a) where factor.isFreeOfElements:
      guard let a = WeightedPair(a) else { return nil }
      self = a.mapping { .make(.multiply, factor, $0) }
    case .binary(.divide, let a, let divisor) where divisor.isFreeOfElements:
      guard let a = WeightedPair(a) else { return nil }
      self = a.mapping { .make(.divide, $0, divisor) }
    case .select(let condition, let a, let b) where condition.isFreeOfElements:
      guard let a = WeightedPair(a), let b = WeightedPair(b) else { return nil }
      self.init(a, b) { a, b in
        a == nil && b == nil
          ? nil : .makeSelect(condition, a ?? .constant(0), b ?? .constant(0))
      }
    default: return nil
    }
  }

  private init(own: Expression?, partner: Expression?) {
    (self.own, self.partner) = (own, partner)
  }

  private init(
    _ a: WeightedPair, _ b: WeightedPair,
    _ combine: (Expression?, Expression?) -> Expression?
  ) {
    own = combine(a.own, b.own)
    partner = combine(a.partner, b.partner)
  }

  private func mapping(_ change: (Expression) -> Expression) -> WeightedPair {
    var result = self
    (result.own, result.partner) = (own.map(change), partner.map(change))
    return result
  }

  private static func sum(_ f: Expression.Binary, _ a: Expression?, _ b: Expression?)
    -> Expression?
  {
    guard let b else { return a }
    return .make(f, a ?? .constant(0), b)
  }
}

extension Expression {
  fileprivate var isFreeOfElements: Bool {
    !contains { if case .element = $0 { true } else { false } }
  }

  /// What is left of the tree for element `i` of `count`.
  fileprivate func specialized(to i: Int, of count: Int) -> Expression {
    replacing {
      switch $0 {
      case .position(.dimension): .constant(Double(i))
      case .position(.dimensionCount): .constant(Double(count))
      default: nil
      }
    }
  }
}
