import Foundation
import Tensors
import Transformer

/// The paper's formulas in 64-bit floats, row by row: no code shared with what it checks.
struct DoubleTransformer {
  typealias Rows = [[Double]]

  let c: TransformerConfiguration
  var values: [String: [Double]]

  init(_ model: TransformerModel) {
    c = model.configuration
    values = [:]
    for entry in model.weights.layout.entries {
      values[entry.name] = model.weights.elements(of: entry).map(Double.init)
    }
  }

  /// The mean cross-entropy with label smoothing.
  func loss(of batch: SentenceBatch) -> Double {
    var sum = 0.0
    for r in 0..<batch.count {
      let memory = stack("encoder", batch.sourceTokens[batch.sources[r]], memory: nil)
      let output = stack("decoder", batch.decoderTokens[batch.targets[r]], memory: memory)
      for (row, label) in zip(output, batch.labels[batch.targets[r]]) {
        let logits = multiply(row, "embedding.weight", bias: nil, rows: 0..<c.vocabularySize)
        let most = logits.max() ?? 0
        let lse = most + log(logits.reduce(0) { $0 + exp($1 - most) })
        let smoothing = Double(c.labelSmoothing)
        let spread = lse - logits.reduce(0, +) / Double(logits.count)
        sum += (1 - smoothing) * (lse - logits[Int(label)]) + smoothing * spread
      }
    }
    return sum / Double(batch.labels.count)
  }

  private func multiply(
    _ x: [Double], _ weight: String, bias: String?, rows: Range<Int>
  ) -> [Double] {
    let w = values[weight] ?? []
    return rows.map { row in
      var sum = bias.flatMap { values[$0]?[row] } ?? 0
      for i in x.indices { sum += x[i] * w[row * x.count + i] }
      return sum
    }
  }

  private func norm(_ rows: Rows, _ name: String) -> Rows {
    let (weight, bias) = (values["\(name).weight"] ?? [], values["\(name).bias"] ?? [])
    return rows.map { x in
      let mean = x.reduce(0, +) / Double(x.count)
      let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count)
      return x.indices.map {
        (x[$0] - mean) / (variance + 1e-5).squareRoot() * weight[$0] + bias[$0]
      }
    }
  }

  private func attention(_ x: Rows, _ memory: Rows, _ name: String, isCausal: Bool) -> Rows {
    let (weight, bias) = ("\(name).in_proj_weight", "\(name).in_proj_bias")
    let keys = c.heads * c.keyDimension
    let all = 2 * keys + c.heads * c.valueDimension
    let q = x.map { multiply($0, weight, bias: bias, rows: 0..<keys) }
    let k = memory.map { multiply($0, weight, bias: bias, rows: keys..<2 * keys) }
    let v = memory.map { multiply($0, weight, bias: bias, rows: 2 * keys..<all) }
    return q.indices.map { i in
      var output: [Double] = []
      for head in 0..<c.heads {
        let columns = head * c.keyDimension..<(head + 1) * c.keyDimension
        let visible = isCausal ? 0..<i + 1 : 0..<k.count
        let weights = visible.map { j in
          exp(columns.reduce(0) { $0 + q[i][$1] * k[j][$1] } / Double(c.keyDimension).squareRoot())
        }
        let total = weights.reduce(0, +)
        for column in head * c.valueDimension..<(head + 1) * c.valueDimension {
          output.append(
            visible.reduce(0) { $0 + weights[$1] / total * v[$1][column] })
        }
      }
      return multiply(
        output, "\(name).out_proj.weight", bias: "\(name).out_proj.bias", rows: 0..<c.modelDimension
      )
    }
  }

  private func sublayer(_ x: Rows, _ normName: String, _ f: (Rows) -> Rows) -> Rows {
    func sum(_ a: Rows, _ b: Rows) -> Rows { zip(a, b).map { zip($0, $1).map(+) } }
    return c.normalization == .post
      ? norm(sum(x, f(x)), normName) : sum(x, f(norm(x, normName)))
  }

  private func stack(_ name: String, _ tokens: ArraySlice<Int32>, memory: Rows?) -> Rows {
    let d = c.modelDimension
    var x: Rows = tokens.enumerated().map { position, token in
      (0..<d).map { i in
        let angle = Double(position) / pow(10000, Double(i - i % 2) / Double(d))
        let place =
          c.positions == .learned
          ? (values["\(name).positions.weight"] ?? [])[position * d + i]
          : i % 2 == 0 ? sin(angle) : cos(angle)
        return (values["embedding.weight"] ?? [])[Int(token) * d + i] * Double(d).squareRoot()
          + place
      }
    }
    for i in 0..<c.layers {
      let layer = "\(name).layers.\(i)"
      x = sublayer(x, "\(layer).norm1") {
        attention($0, $0, "\(layer).self_attn", isCausal: memory != nil)
      }
      if let memory {
        x = sublayer(x, "\(layer).norm2") {
          attention($0, memory, "\(layer).multihead_attn", isCausal: false)
        }
      }
      x = sublayer(x, "\(layer).norm\(memory == nil ? 2 : 3)") { rows in
        rows.map { row in
          let hidden = multiply(
            row, "\(layer).linear1.weight", bias: "\(layer).linear1.bias",
            rows: 0..<c.feedForwardDimension)
          return multiply(
            hidden.map { max($0, 0) }, "\(layer).linear2.weight", bias: "\(layer).linear2.bias",
            rows: 0..<d)
        }
      }
    }
    return c.normalization == .pre ? norm(x, "\(name).norm") : x
  }
}
