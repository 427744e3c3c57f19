import Devices
import Glibc
import Tensors

// Training's products and rows, against sums in Double.
extension Checker {
  func checkTraining() {
    for (rows, columns, depth) in [(1, 1, 1), (13, 37, 5), (29, 65, 519), (150, 33, 40)] {
      for transposes in 0..<4 {
        for precision in ProductPrecision.allCases {
          checkProduct(rows, columns, depth, transposes, precision)
        }
      }
    }
    for width in [1, 7, 16, 35, 512] {
      checkLayerNorm(width)
      checkCrossEntropy(width + 1)
      checkDropout(width)
    }
  }

  private func checkProduct(
    _ rows: Int, _ columns: Int, _ depth: Int, _ transposes: Int, _ precision: ProductPrecision
  ) {
    Matrix.releaseAll()
    let (left, right) = (transposes & 1 == 1, transposes & 2 == 2)
    let a = left ? Matrix(depth, rows, &random) : Matrix(rows, depth, &random)
    let b = right ? Matrix(columns, depth, &random) : Matrix(depth, columns, &random)
    func factor(_ x: Float) -> Double {
      Double(precision == .bfloat16 ? Float(BFloat16(x)) : x)
    }
    var exact: [Double] = []
    var scale: [Double] = []
    for m in 0..<rows {
      for n in 0..<columns {
        let terms = (0..<depth).map { k in
          factor(left ? a.view.row(k)[m] : a.view.row(m)[k])
            * factor(right ? b.view.row(n)[k] : b.view.row(k)[n])
        }
        exact.append(max(terms.reduce(0, +), 0))
        scale.append(terms.reduce(1e-3) { $0 + abs($1) })
      }
    }
    check(
      .training, "product \(rows)x\(columns)x\(depth) \(transposes) \(precision.rawValue)",
      limit: 2e-6, exact: exact, scale: scale
    ) { side in
      let c = Matrix(poisoned: rows, columns)
      devices[side].multiply(
        ProductFactor(a.view, isTransposed: left), ProductFactor(b.view, isTransposed: right),
        into: c.view, rectify: true, precision: precision)
      return c
    }
  }

  /// The gradient by the input; the result and the parameters' gradients go through the same rows.
  private func checkLayerNorm(_ width: Int) {
    Matrix.releaseAll()
    let x = Matrix(3, width, &random)
    let dy = Matrix(3, width, &random)
    let weight = Matrix(1, width, &random)
    let exact = (0..<3).flatMap { row -> [Double] in
      let values = (0..<width).map { Double(x.view.row(row)[$0]) }
      let mean = values.reduce(0, +) / Double(width)
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
      let inverse = 1 / (variance + 1e-2).squareRoot()
      let g = (0..<width).map { Double(dy.view.row(row)[$0] * weight.view.row(0)[$0]) }
      let plain = g.reduce(0, +) / Double(width)
      let along =
        zip(g, values).reduce(0) { $0 + $1.0 * ($1.1 - mean) } * inverse * inverse / Double(width)
      return (0..<width).map { inverse * (g[$0] - plain - (values[$0] - mean) * along) }
    }
    check(
      .training, "layer norm \(width)", limit: 2e-5, exact: exact,
      scale: exact.map { _ in 10 }
    ) { side in
      let gradient = dy.copy
      let y = Matrix(poisoned: 3, width)
      let statistics = Matrix(poisoned: 3, 2)
      let sums = (Matrix(1, width) { _, _ in 0 }, Matrix(1, width) { _, _ in 0 })
      devices[side].layerNorm(
        x.view, adding: nil, sum: x.view, weight: weight.view.base, bias: weight.view.base,
        epsilon: 1e-2, into: y.view, statistics: statistics.view)
      devices[side].layerNormGradient(
        gradient.view, of: x.view, statistics: statistics.view, weight: weight.view.base,
        weightGradient: sums.0.view.base, biasGradient: sums.1.view.base)
      return gradient
    }
  }

  private func checkCrossEntropy(_ count: Int) {
    Matrix.releaseAll()
    let logits = Matrix(2, count, in: -9...9, &random)
    let targets = [Int32(0), Int32(count - 1)]
    let exact = (0..<2).flatMap { row -> [Double] in
      let powers = (0..<count).map { exp(Double(logits.view.row(row)[$0])) }
      let sum = powers.reduce(0, +)
      return (0..<count).map { i in
        powers[i] / sum - 0.1 / Double(count) - (Int(targets[row]) == i ? 0.9 : 0)
      }
    }
    check(
      .training, "cross-entropy \(count)", limit: 1e-6, exact: exact, scale: exact.map { _ in 1 }
    ) { side in
      let gradient = logits.copy
      devices[side].crossEntropy(
        gradient.view, targets: targets[...], smoothing: 0.1, scale: 1,
        losses: Matrix(poisoned: 2, 2).view)
      return gradient
    }
  }

  private func checkDropout(_ count: Int) {
    Matrix.releaseAll()
    let x = Matrix(2, count, &random)
    let stream = CounterRandom(seed: 77)
    let exact = (0..<2).flatMap { row in
      (0..<count).map { i in
        let block = UInt64(row) << 32 | UInt64(i / 64 * 16 + i % 16)
        let isKept = stream.words(block, draw: 5)[i % 64 / 16] >= 1 << 31
        return isKept ? Double(x.view.row(row)[i]) * 2 : 0
      }
    }
    check(
      .training, "dropout \(count)", limit: 0, exact: exact, scale: exact.map { _ in 1 }
    ) { side in
      let y = x.copy
      devices[side].dropout(y.view, rate: 0.5, random: stream, draw: 5)
      return y
    }
  }
}
