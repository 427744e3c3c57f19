import Attention
import Tensors
import Testing

/// The oracle's gradient against differences of the oracle.
@Suite struct DenseGradientTests {
  /// One request's numbers; all have few bits, so that steps of them are exact in Float.
  private struct Numbers {
    var queries, keys, values: [[[Float]]]
    let outputGradient: [[[Double]]]
    let lseGradient: [[Double]]

    init(_ shape: AttentionShape, queries: Int, keys: Int, _ random: inout Random) {
      func numbers(_ rows: Int, _ heads: Int, _ dimension: Int) -> [[[Float]]] {
        (0..<rows).map { _ in
          (0..<heads).map { _ in
            (0..<dimension).map { _ in (random.float() * 64).rounded() / 32 }
          }
        }
      }
      self.queries = numbers(queries, shape.queryHeads, shape.headDimension)
      self.keys = numbers(keys, shape.kvHeads, shape.headDimension)
      values = numbers(keys, shape.kvHeads, shape.valueDimension)
      outputGradient = numbers(queries, shape.queryHeads, shape.valueDimension)
        .map { $0.map { $0.map(Double.init) } }
      lseGradient = numbers(queries, 1, shape.queryHeads).map { $0[0].map(Double.init) }
    }

    var request: DenseAttention.Request {
      DenseAttention.Request(
        queryLength: queries.count, kvLength: keys.count, query: { queries[$0][$1] },
        key: { keys[$0][$1] }, value: { values[$0][$1] })
    }

    /// Σ dO·O + Σ dLSE·LSE.
    func loss(_ oracle: DenseAttention) -> Double {
      var sum = 0.0
      for i in queries.indices {
        for head in 0..<oracle.shape.queryHeads {
          let (output, lse) = oracle.row(i, head: head, of: request)
          sum += zip(output, outputGradient[i][head]).reduce(0) { $0 + $1.0 * $1.1 }
          if lse > -.infinity { sum += lse * lseGradient[i][head] }
        }
      }
      return sum
    }
  }

  static let variants: [AttentionVariant] = [
    .full, .causal, .causal.combined(with: .softCap(1.5)), .alibi(slopes: [0.5, -0.25]),
    AttentionVariant("odd", scale: 0.75) { v in
      let a = v.parameter("a", default: 0.5)
      let b = v.perHead("b", [1, 2])
      v.logits { s, at in select(at.kv > 1, a * s * b, exp(s * a)) - abs(s) }
      v.mask { at in !(at.kv .== 2) }
    },
    AttentionVariant("sinks") { v in
      let a = v.parameter("a", default: 0.5)
      v.logits { s, _ in s * a }
      v.sink { at in a * 2 }
      v.sink { at in tanh(a) - at.queryHead }
      v.mask { at in at.kv <= at.query }
    },
    AttentionVariant("sum") { v in
      let bias = v.parameter("bias", default: -1)
      v.usesSoftmax = false
      v.logits { s, _ in sigmoid(s + bias) }
      v.mask { at in at.kv <= at.query }
    },
    .causal.combined(with: .rope(base: 10)),
    AttentionVariant("vectors") { v in
      let a = v.parameter("a", default: 0.5)
      let b = v.perHead("b", [1, 0.75])
      v.query { x, at in x.own * a + tanh(x.neighbour * b) - at.dimension * a }
      v.query { x, at in x.own + x.opposite * at.query / 4 }
      v.key { x, at in sigmoid(x.own * a) * x.opposite(of: 2) + cos(at.kv * a) }
      v.value { x, at in x.neighbour * x.own + a * at.kv }
      v.logits { s, _ in s * a }
      v.sink { _ in a }
      v.output { x, at in tanh(x.own * b) + x.neighbour * at.queryHead }
      v.output { x, _ in x.own * x.own + x.opposite * a }
      v.mask { at in at.kv <= at.query && !(at.query .== 0) }
    },
    AttentionVariant("sums of vectors") { v in
      let a = v.parameter("a", default: 0.5)
      v.usesSoftmax = false
      v.value { x, _ in exp(x.own * a) }
      v.output { x, _ in x.own - x.neighbour * a }
    },
  ]

  @Test(arguments: variants, [(3, 4), (4, 2)])
  func followsDifferences(variant: AttentionVariant, lengths: (queries: Int, keys: Int)) throws {
    let shape = AttentionShape(queryHeads: 2, kvHeads: 1, headDimension: 3, valueDimension: 2)
    var random = Random(5)
    let numbers = Numbers(shape, queries: lengths.queries, keys: lengths.keys, &random)
    let oracle = DenseAttention(shape: shape, variant: variant)
    let gradient = oracle.gradient(
      of: numbers.request, outputGradient: { numbers.outputGradient[$0][$1] },
      lseGradient: { numbers.lseGradient[$0][$1] })

    func difference(_ loss: (Float) -> Double) -> Double {
      let h: Float = 0x1p-9
      let (near, far) = (loss(h) - loss(-h), loss(2 * h) - loss(-2 * h))
      return (8 * near - far) / (12 * Double(h))
    }
    func compare(_ found: [[[Double]]], _ path: WritableKeyPath<Numbers, [[[Float]]]>) {
      for i in found.indices {
        for j in found[i].indices {
          for c in found[i][j].indices {
            let expected = difference { step in
              var moved = numbers
              moved[keyPath: path][i][j][c] += step
              return moved.loss(oracle)
            }
            #expect(abs(found[i][j][c] - expected) <= 1e-8 * (1 + abs(expected)))
          }
        }
      }
    }
    compare(gradient.queries, \.queries)
    compare(gradient.keys, \.keys)
    compare(gradient.values, \.values)
    for (i, parameter) in variant.declarations.scalars.enumerated() {
      let value = try #require(variant.parameters.scalars[i])
      let expected = difference { step in
        guard let moved = try? variant.setting(parameter.name, to: value + step) else {
          return .nan
        }
        return numbers.loss(DenseAttention(shape: shape, variant: moved))
      }
      #expect(
        abs(gradient.scalars[i] - expected) <= 1e-8 * (1 + abs(expected)), "\(parameter.name)")
    }
  }
}
