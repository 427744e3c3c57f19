/// A range that a value is known to lie in; conditions lie within 0 and 1.
package struct Interval: Sendable, Hashable {
  /// The least possible value.
  package var low: Double
  /// The greatest possible value.
  package var high: Double

  /// The values from `low` to `high`; everything where either is NaN.
  package init(_ low: Double, _ high: Double) {
    let known = !(low.isNaN || high.isNaN)
    self.low = known ? low : -.infinity
    self.high = known ? high : .infinity
  }

  /// One value.
  package init(_ value: Double) { self.init(value, value) }

  /// Whole numbers of a non-empty range.
  package init(_ range: ClosedRange<Int>) {
    self.init(Double(range.lowerBound), Double(range.upperBound))
  }

  /// Every value.
  package static let everything = Interval(-.infinity, .infinity)
  /// A condition that is true somewhere and false elsewhere, for all that is known.
  package static let either = Interval(0, 1)

  fileprivate static func truth(always: Bool, never: Bool) -> Interval {
    always ? Interval(1) : never ? Interval(0) : either
  }

  var isAlwaysTrue: Bool { low > 0 || high < 0 }
  var isNeverTrue: Bool { low == 0 && high == 0 }

  var coverage: TileCoverage {
    isNeverTrue ? .empty : isAlwaysTrue ? .full : .partial
  }
}

/// A block of places: what a tile of scores ranges over.
package struct PlaceRange: Sendable {
  /// Absolute positions of the tile's queries.
  package var query: ClosedRange<Int>
  /// Positions of the tile's keys.
  package var kv: ClosedRange<Int>
  /// Query heads.
  package var queryHead: ClosedRange<Int>
  /// The key/value heads.
  package var kvHead: ClosedRange<Int>
  /// The requests' numbers.
  package var request: ClosedRange<Int>
  /// New tokens of the requests.
  package var queryLength: ClosedRange<Int>
  /// Tokens of the requests that have keys.
  package var kvLength: ClosedRange<Int>

  /// A block of places of several requests.
  package init(
    query: ClosedRange<Int>, kv: ClosedRange<Int>, queryHead: ClosedRange<Int>,
    kvHead: ClosedRange<Int>, request: ClosedRange<Int>, queryLength: ClosedRange<Int>,
    kvLength: ClosedRange<Int>
  ) {
    self.query = query
    self.kv = kv
    self.queryHead = queryHead
    self.kvHead = kvHead
    self.request = request
    self.queryLength = queryLength
    self.kvLength = kvLength
  }

  /// A block of places of one request.
  package init(
    query: ClosedRange<Int>, kv: ClosedRange<Int>, queryHead: ClosedRange<Int>,
    kvHead: ClosedRange<Int>, request: Int, queryLength: Int, kvLength: Int
  ) {
    self.init(
      query: query, kv: kv, queryHead: queryHead, kvHead: kvHead, request: request...request,
      queryLength: queryLength...queryLength, kvLength: kvLength...kvLength)
  }

  subscript(position: Expression.Position) -> Interval {
    switch position {
    case .query: Interval(query)
    case .kv: Interval(kv)
    case .queryHead: Interval(queryHead)
    case .kvHead: Interval(kvHead)
    case .request: Interval(request)
    case .queryLength: Interval(queryLength)
    case .kvLength: Interval(kvLength)
    case .dimension, .dimensionCount, .index: .everything
    }
  }
}

/// What a mask makes of a tile.
package enum TileCoverage: Sendable, Hashable {
  /// No score counts: the tile is skipped.
  case empty
  /// Every score counts: the mask is not evaluated.
  case full
  /// The mask decides score by score.
  case partial
}

extension Expression {
  /// What a mask can be over a block of places.
  package func coverage(over places: PlaceRange, _ parameters: VariantParameters) -> TileCoverage {
    interval(over: places, parameters).coverage
  }

  /// What a mask can be over a block of places, by the data of its tensors and bits.
  func coverage(over places: PlaceRange, _ data: ParameterData) -> TileCoverage {
    interval(over: places, VariantParameters(), data).coverage
  }

  /// A range that contains every value over a block of places, not always the smallest one.
  package func interval(over places: PlaceRange, _ parameters: VariantParameters) -> Interval {
    interval(over: places, parameters, nil)
  }

  private func interval(
    over places: PlaceRange, _ parameters: borrowing VariantParameters, _ data: ParameterData?
  ) -> Interval {
    switch self {
    case .constant(let x): return Interval(x)
    case .score, .element: return .everything
    case .position(let p): return places[p]
    case .parameter(let i):
      return parameters.scalars[i].map { Interval(Double($0)) } ?? .everything
    case .perHead(let i):
      if let data { return data.range(ofHeads: places.queryHead, i) }
      return Interval(
        Double(parameters.vectors[i][places.queryHead].min() ?? -.infinity),
        Double(parameters.vectors[i][places.queryHead].max() ?? .infinity))
    case .tensor(let i, let row): return data?.range(i, row, over: places) ?? .everything
    case .bit(let i): return data?.truth(ofMask: i, over: places) ?? .either
    case .isPresent: return .either
    case .unary(let f, let a): return f.interval(a.interval(over: places, parameters, data))
    case .binary(let f, let a, let b):
      let left = a.interval(over: places, parameters, data)
      // The other side of a decided condition need not be looked at.
      if f == .and && left.isNeverTrue { return Interval(0) }
      if f == .or && left.isAlwaysTrue { return Interval(1) }
      return f.interval(left, b.interval(over: places, parameters, data))
    case .select(let c, let a, let b):
      return .choose(
        c.interval(over: places, parameters, data), a.interval(over: places, parameters, data),
        b.interval(over: places, parameters, data))
    }
  }
}

extension Interval {
  /// Either of two, by a condition.
  static func choose(_ c: Interval, _ a: Interval, _ b: Interval) -> Interval {
    if c.isAlwaysTrue { return a }
    if c.isNeverTrue { return b }
    return Interval(Swift.min(a.low, b.low), Swift.max(a.high, b.high))
  }
}

extension ParameterData {
  /// What a per-head vector can be for some heads.
  func range(ofHeads queryHeads: ClosedRange<Int>, _ vector: Int) -> Interval {
    var (low, high) = (Float.infinity, -Float.infinity)
    for head in queryHeads {
      let x = perHead[vector * heads + head]
      if x.isNaN { return .everything }
      (low, high) = (min(low, x), max(high, x))
    }
    return Interval(Double(low), Double(high))
  }
}

extension Expression.Unary {
  func interval(_ a: Interval) -> Interval {
    switch self {
    case .negate: Interval(-a.high, -a.low)
    case .absolute:
      a.low >= 0 ? a : a.high <= 0 ? Interval(-a.high, -a.low) : Interval(0, max(-a.low, a.high))
    case .log, .squareRoot: a.low >= 0 ? Interval(self(a.low), self(a.high)) : .everything
    case .exp, .tanh, .sigmoid, .floor: Interval(self(a.low), self(a.high))
    case .sine, .cosine: a.low.isFinite && a.high.isFinite ? Interval(-1, 1) : .everything
    case .not: .truth(always: a.isNeverTrue, never: a.isAlwaysTrue)
    }
  }
}

extension Expression.Binary {
  func interval(_ a: Interval, _ b: Interval) -> Interval {
    switch self {
    case .add: Interval(a.low + b.low, a.high + b.high)
    case .subtract: Interval(a.low - b.high, a.high - b.low)
    case .multiply: corners(a, b)
    case .divide: b.low > 0 || b.high < 0 ? corners(a, b) : .everything
    case .minimum: Interval(min(a.low, b.low), min(a.high, b.high))
    case .maximum: Interval(max(a.low, b.low), max(a.high, b.high))
    case .less: .truth(always: a.high < b.low, never: a.low >= b.high)
    case .lessOrEqual: .truth(always: a.high <= b.low, never: a.low > b.high)
    case .equal:
      .truth(
        always: a.low == a.high && a == b && a.low.isFinite, never: a.high < b.low || b.high < a.low
      )
    case .power: a.low > 0 ? corners(a, b) : .everything
    case .and:
      .truth(
        always: a.isAlwaysTrue && b.isAlwaysTrue, never: a.isNeverTrue || b.isNeverTrue)
    case .or:
      .truth(always: a.isAlwaysTrue || b.isAlwaysTrue, never: a.isNeverTrue && b.isNeverTrue)
    }
  }

  /// The hull of the four corner results, for functions that are monotone in each argument.
  private func corners(_ a: Interval, _ b: Interval) -> Interval {
    let (p, q) = (self(a.low, b.low), self(a.low, b.high))
    let (r, t) = (self(a.high, b.low), self(a.high, b.high))
    // 0·∞ at a corner says nothing about the inside.
    if p.isNaN || q.isNaN || r.isNaN || t.isNaN { return .everything }
    return Interval(min(min(p, q), min(r, t)), max(max(p, q), max(r, t)))
  }
}
