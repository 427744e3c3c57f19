import Attention
import Glibc
import Testing

/// Symbolic derivatives against differences in Double.
@Suite struct DerivativeTests {
  typealias Define = @Sendable (inout AttentionVariant.Definition) -> Void

  /// Every node of the notation, alone and nested; parameters have few bits, so that steps of them
  /// are exact.
  static let definitions: [(String, Define)] = [
    ("negate", { v in v.logits { s, _ in -s } }),
    ("absolute", { v in v.logits { s, at in abs(s) * at.kv } }),
    ("exp", { v in v.logits { s, _ in exp(s * 0.5) } }),
    ("log", { v in v.logits { s, _ in log(s * s + 1) } }),
    ("tanh", { v in v.logits { s, _ in tanh(s) } }),
    ("sigmoid", { v in v.logits { s, _ in sigmoid(2 * s) } }),
    ("sine", { v in v.logits { s, _ in sin(2 * s) * cos(s) } }),
    ("power", { v in v.logits { s, _ in pow(s * s + 1, 1.5) + pow(2, s) } }),
    ("square root", { v in v.logits { s, _ in sqrt(exp(s) + 3) } }),
    ("floor", { v in v.logits { s, _ in s * floor(s) + floor(7.5) } }),
    ("quotient", { v in v.logits { s, at in (s + at.query) / (s * s + 2) } }),
    ("minimum", { v in v.logits { s, _ in min(s * s, s + 1) } }),
    ("maximum", { v in v.logits { s, _ in max(s * s, 1 - s) } }),
    ("select", { v in v.logits { s, at in select(s < 0.3 && at.kv > 1, s * s, exp(s)) } }),
    ("conditions", { v in v.logits { s, _ in select(!(s <= 0.1) || s .== 5, 3 * s, s / 2) } }),
    (
      "soft cap",
      { v in
        let cap = v.parameter("cap", default: 1.5)
        v.logits { s, _ in cap * tanh(s / cap) }
      }
    ),
    (
      "slopes",
      { v in
        let slope = v.perHead("slope", [0.5, -0.25, 2])
        let shift = v.parameter("shift", default: 0.75)
        v.logits { s, at in s * slope + slope * slope * (at.kv - at.query) / (shift * shift) }
      }
    ),
    (
      "chain",
      { v in
        let a = v.parameter("a", default: 0.5)
        let b = v.perHead("b", [1, 2, -1])
        v.logits { s, _ in a * sigmoid(b * s) - log(1 + exp(-a * s)) }
        v.logits { s, at in tanh(s * a) * b + sqrt(s * s + b * b + 1) - max(s, a) * at.kv }
      }
    ),
  ]

  private static let places: [ScorePlace] = (0..<6).map { i in
    var place = ScorePlace()
    place.kv = i
    place.query = 9 - 2 * i
    place.queryHead = i % 3
    return place
  }

  /// (f(x + h) − f(x − h)) / 2h, extrapolated to h = 0.
  private func difference(_ f: (Double) -> Double) -> Double {
    let h = 0x1p-9
    let (near, far) = (f(h) - f(-h), f(2 * h) - f(-2 * h))
    return (8 * near - far) / (12 * h)
  }

  private func isClose(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-8 * (1 + abs(b)) }

  @Test(arguments: definitions)
  func byTheScore(name: String, define: Define) {
    let variant = AttentionVariant(name, define)
    let f = variant.logitsExpression
    let derivative = f.derivative(by: .score)
    for place in Self.places {
      for x in [-2.3, -0.6, 0.2, 0.9, 1.7] {
        let found = derivative.evaluate(score: x, at: place, variant.parameters)
        let expected = difference { f.evaluate(score: x + $0, at: place, variant.parameters) }
        #expect(isClose(found, expected), "\(name) at \(x): \(found), \(expected)")
      }
    }
  }

  @Test(arguments: definitions)
  func byParameters(name: String, define: Define) {
    let variant = AttentionVariant(name, define)
    let f = variant.logitsExpression
    for place in Self.places {
      for x in [-0.6, 0.2, 1.7] {
        for i in variant.parameters.scalars.indices {
          let found = f.derivative(by: .parameter(i))
            .evaluate(score: x, at: place, variant.parameters)
          let expected = difference { step in
            var parameters = variant.parameters
            parameters.scalars[i] = (parameters.scalars[i] ?? .nan) + Float(step)
            return f.evaluate(score: x, at: place, parameters)
          }
          #expect(isClose(found, expected), "\(name), scalar \(i): \(found), \(expected)")
        }
        for i in variant.parameters.vectors.indices {
          let found = f.derivative(by: .perHead(i))
            .evaluate(score: x, at: place, variant.parameters)
          let expected = difference { step in
            var parameters = variant.parameters
            parameters.vectors[i][place.queryHead] += Float(step)
            return f.evaluate(score: x, at: place, parameters)
          }
          #expect(isClose(found, expected), "\(name), vector \(i): \(found), \(expected)")
        }
      }
    }
  }

  /// Where there is no derivative there is the sub-gradient that is documented.
  @Test func subgradients() {
    let place = ScorePlace()
    func slope(at x: Double, _ f: (Symbol) -> Symbol) -> Double {
      f(Symbol(.score)).expression.derivative(by: .score)
        .evaluate(score: x, at: place, VariantParameters())
    }
    #expect(slope(at: 0) { abs($0) } == 0)
    #expect(slope(at: 2) { min(3 * $0, $0 + 4) } == 1)
    #expect(slope(at: 2) { max(3 * $0, $0 + 4) } == 1)
    #expect(slope(at: 1) { floor($0) } == 0)
    // The side that is not chosen counts for nothing, were it NaN.
    #expect(slope(at: -1) { select($0 < 0, 5 * $0, log($0)) } == 5)
  }

  /// Derivatives that are constant are known to be, and common ones stay small.
  @Test func simplification() {
    #expect(AttentionVariant.causal.logitsExpression.derivative(by: .score) == .constant(1))
    let alibi = AttentionVariant.alibi(heads: 4).logitsExpression
    #expect(alibi.derivative(by: .score) == .constant(1))
    #expect(
      alibi.derivative(by: .perHead(0))
        == .binary(.subtract, .position(.kv), .position(.query)))
    let capped = AttentionVariant.softCap(30)
    let tanh = Expression.unary(.tanh, .binary(.divide, .score, .constant(30)))
    #expect(
      capped.logitsExpression.resolving(capped.parameters).derivative(by: .score)
        == .binary(.subtract, .constant(1), .binary(.multiply, tanh, tanh)))
    let window = AttentionVariant.slidingWindow(left: 5).logitsExpression
    #expect(window.derivative(by: .parameter(0)) == .constant(0))
  }
}
