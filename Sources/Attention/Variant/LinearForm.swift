/// kv·a + query·b + kvLength·c + queryLength·d + e.
struct LinearForm: Sendable, Hashable, BitwiseCopyable {
  var kv = 0.0
  var query = 0.0
  var kvLength = 0.0
  var queryLength = 0.0
  var constant = 0.0

  func times(_ factor: Double) -> LinearForm {
    LinearForm(
      kv: kv * factor, query: query * factor, kvLength: kvLength * factor,
      queryLength: queryLength * factor, constant: constant * factor)
  }

  func plus(_ other: LinearForm) -> LinearForm {
    LinearForm(
      kv: kv + other.kv, query: query + other.query, kvLength: kvLength + other.kvLength,
      queryLength: queryLength + other.queryLength, constant: constant + other.constant)
  }

  var isFinite: Bool { (kv + query + kvLength + queryLength + constant).isFinite }
}

/// Linear forms joined by minima and maxima: what positions, windows and clamps are made of.
indirect enum PiecewiseLinear {
  case linear(LinearForm)
  case minimum(PiecewiseLinear, PiecewiseLinear)
  case maximum(PiecewiseLinear, PiecewiseLinear)

  /// The form of an expression, if it has one with at most `limit` pieces.
  init?(_ expression: Expression, limit: Int = 16) {
    func form(_ e: Expression) -> PiecewiseLinear? {
      switch e {
      case .constant(let x): return .linear(LinearForm(constant: x))
      case .position(.kv): return .linear(LinearForm(kv: 1))
      case .position(.query): return .linear(LinearForm(query: 1))
      case .position(.kvLength): return .linear(LinearForm(kvLength: 1))
      case .position(.queryLength): return .linear(LinearForm(queryLength: 1))
      case .unary(.negate, let a): return form(a)?.times(-1)
      case .unary(.absolute, let a): return form(a).map { .maximum($0, $0.times(-1)) }
      case .binary(.multiply, .constant(let factor), let a),
        .binary(.multiply, let a, .constant(let factor)):
        return form(a)?.times(factor)
      case .binary(let f, let a, let b):
        guard let a = form(a), let b = form(b) else { return nil }
        switch f {
        case .add: return a.plus(b)
        case .subtract: return a.plus(b.times(-1))
        case .minimum: return .minimum(a, b)
        case .maximum: return .maximum(a, b)
        default: return nil
        }
      default: return nil
      }
    }
    guard let result = form(expression), result.pieces <= limit else { return nil }
    self = result
  }

  private var pieces: Int {
    switch self {
    case .linear: 1
    case .minimum(let a, let b), .maximum(let a, let b): a.pieces + b.pieces
    }
  }

  func times(_ factor: Double) -> PiecewiseLinear {
    switch self {
    case .linear(let form): return .linear(form.times(factor))
    case .minimum(let a, let b):
      let (a, b) = (a.times(factor), b.times(factor))
      return factor < 0 ? .maximum(a, b) : .minimum(a, b)
    case .maximum(let a, let b):
      let (a, b) = (a.times(factor), b.times(factor))
      return factor < 0 ? .minimum(a, b) : .maximum(a, b)
    }
  }

  func plus(_ other: PiecewiseLinear) -> PiecewiseLinear {
    switch (self, other) {
    case (.linear(let a), .linear(let b)): .linear(a.plus(b))
    case (.minimum(let a, let b), _): .minimum(a.plus(other), b.plus(other))
    case (.maximum(let a, let b), _): .maximum(a.plus(other), b.plus(other))
    case (.linear, _): other.plus(self)
    }
  }
}
