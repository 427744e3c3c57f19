import CMicrokernels
import Devices
import Glibc
import Tensors

// The row operators of a model, at widths around and beyond every vector's.
extension Checker {
  private static let widths = [1, 2, 5, 16, 17, 63, 130]

  func checkOperators() throws {
    for width in Self.widths {
      Matrix.releaseAll()
      checkNorms(width)
      checkSums(width)
      checkSoftmax(width)
      checkLargest(width)
      checkCombination(width)
    }
    checkActivations()
    for pairing in [RotaryEmbedding.Pairing.adjacent, .halves] {
      for (dimension, head) in [(2, 2), (6, 6), (64, 64), (20, 33), (128, 130)] {
        try checkRotation(pairing, dimension: dimension, head: head)
      }
    }
  }

  private func checkNorms(_ width: Int) {
    let heads = 2
    let x = Matrix(3, heads * width, in: -3...5, &random)
    let delta = Matrix(3, heads * width, &random)
    let weight = (0..<width).map { _ in random.float(in: -2...2) }
    let wide = (0..<heads * width).map { _ in random.float(in: -2...2) }
    let bias = (0..<heads * width).map { _ in random.float(in: -2...2) }
    let epsilon: Float = 1e-5

    var exact: [Double] = []
    for i in 0..<3 {
      for head in 0..<heads {
        exact += rootMeanSquareNorm(
          (0..<width).map { x.view.row(i)[head * width + $0] }, weight, epsilon)
      }
    }
    check(.operators, "rmsNorm \(width)", limit: 1e-6, exact: exact, scale: exact.map(abs)) {
      let y = Matrix(poisoned: 3, heads * width)
      try? devices[$0].rmsNorm(x.view, weight: weight, epsilon: epsilon, heads: heads, into: y.view)
      return y
    }

    exact = []
    for i in 0..<3 {
      for head in 0..<heads {
        exact += rootMeanSquareNorm(
          (0..<width).map { x.view.row(i)[head * width + $0] }, weight, epsilon, offset: 1)
      }
    }
    // The weight's 1 may cancel.
    let size = zip(exact.indices, exact).map { abs($1) + abs(Double(x.values[$0])) }
    check(.operators, "gemmaRMSNorm \(width)", limit: 1e-6, exact: exact, scale: size) {
      let y = Matrix(poisoned: 3, heads * width)
      try? devices[$0].gemmaRMSNorm(
        x.view, weight: weight, epsilon: epsilon, heads: heads, into: y.view)
      return y
    }

    exact = (0..<3).flatMap { i in
      rootMeanSquareNorm(
        (0..<heads * width).map { x.view.row(i)[$0] + delta.view.row(i)[$0] }, wide, epsilon)
    }
    check(.operators, "fusedAddRMSNorm \(width)", limit: 1e-6, exact: exact, scale: exact.map(abs))
    {
      let y = Matrix(poisoned: 3, heads * width)
      try? devices[$0].fusedAddRMSNorm(
        delta.view, residual: x.copy.view, weight: wide, epsilon: epsilon, into: y.view)
      return y
    }

    for bias in [nil, bias] {
      exact = (0..<3).flatMap { i in
        let row = (0..<heads * width).map { Double(x.view.row(i)[$0]) }
        let mean = row.reduce(0, +) / Double(row.count)
        let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(row.count)
        return row.indices.map {
          (row[$0] - mean) / (variance + Double(epsilon)).squareRoot() * Double(wide[$0])
            + Double(bias?[$0] ?? 0)
        }
      }
      // A difference from the mean loses what it shares with it.
      let scale = exact.map { 10 + abs($0) }
      check(.operators, "layerNorm \(width)", limit: 1e-6, exact: exact, scale: scale) {
        let y = Matrix(poisoned: 3, heads * width)
        try? devices[$0].layerNorm(x.view, weight: wide, bias: bias, epsilon: epsilon, into: y.view)
        return y
      }
    }
  }

  private func rootMeanSquareNorm(
    _ row: [Float], _ weight: [Float], _ epsilon: Float, offset: Double = 0
  ) -> [Double] {
    let square = row.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(row.count)
    let factor = 1 / (square + Double(epsilon)).squareRoot()
    return zip(row, weight).map { Double($0) * factor * (Double($1) + offset) }
  }

  private func checkSums(_ width: Int) {
    let x = Matrix(3, width, &random)
    let y = Matrix(3, width, &random)
    let exact = zip(x.values, y.values).map { Double(($0 + $1) * 0.3) }
    check(.operators, "add and scale \(width)", limit: 0, exact: exact, scale: exact.map(abs)) {
      let sum = y.copy
      try? devices[$0].add(x.view, to: sum.view)
      devices[$0].scale(sum.view, by: 0.3)
      return sum
    }
  }

  private func checkCombination(_ width: Int) {
    let x = Matrix(2, width, &random)
    let poison = Matrix(poisoned: 1, width)
    for (a, b, wa, wb) in [
      (x.view.row(0), x.view.row(1), Float(0.25), Float(0.75)),
      (x.view.row(0), poison.view.row(0), 0.5, 0), (poison.view.row(0), x.view.row(1), 0, 1),
      (poison.view.row(0), poison.view.row(0), 0, 0),
    ] {
      let exact = (0..<width).map {
        (wa == 0 ? 0 : Double(wa) * Double(a[$0])) + (wb == 0 ? 0 : Double(wb) * Double(b[$0]))
      }
      let scale = exact.map { _ in 1.0 }
      check(.operators, "combine \(width)", limit: 2e-7, exact: exact, scale: scale) {
        let y = Matrix(poisoned: 1, width)
        devices[$0].linearKernels.operators.combine?(a, wa, b, wb, y.view.base, width)
        return y
      }
    }
  }

  private func checkSoftmax(_ width: Int) {
    let x = Matrix(5, width, in: -20...20, &random)
    x.view.row(1)[width - 1] = -.infinity
    for j in 0..<width { x.view.row(2)[j] = -.infinity }
    x.view.row(3)[0] = .nan
    x.view.row(4)[width / 2] = 3e38
    var exact: [Double] = []
    for i in 0..<5 {
      let row = (0..<width).map { Double(x.view.row(i)[$0]) }
      let top = row.reduce(-.infinity) { $1.isNaN ? $1 : max($0, $1) }
      let sum = row.reduce(0) { $0 + exp($1 - top) }
      exact += row.map { top == -.infinity ? 0 : exp($0 - top) / sum }
    }
    let scale = exact.map { $0 + 1e-33 }
    check(.operators, "softmax \(width)", limit: 5e-6, exact: exact, scale: scale) {
      let y = x.copy
      try? devices[$0].softmax(y.view)
      return y
    }
  }

  private func checkLargest(_ width: Int) {
    let x = Matrix(4, width, &random)
    x.view.row(0)[0] = .nan
    x.view.row(1)[width * 2 / 3] = 5
    x.view.row(1)[width - 1] = 5  // a tie: the first wins
    for j in 0..<width { x.view.row(2)[j] = .nan }
    let exact = (0..<4).map { i -> Double in
      var best: Int?
      for j in 0..<width where !x.view.row(i)[j].isNaN {
        if best.map({ x.view.row(i)[j] > x.view.row(i)[$0] }) ?? true { best = j }
      }
      return Double(best ?? 0)
    }
    check(.operators, "indexOfLargest \(width)", limit: 0, exact: exact, scale: exact) { side in
      Matrix(4, 1) { row, _ in Float(devices[side].indexOfLargest(x.view, row: row)) }
    }
  }

  private func checkActivations() {
    let points = stride(from: Float(-30), through: 30, by: 0.157).map { $0 }
    let values = points + [0, -0.0, 1e-30, -1e-30, 80, -80]
    let gate = Matrix(2, values.count) { values[$1] }
    let up = Matrix(2, values.count) { row, _ in Float(row) * 3 - 1.5 }
    typealias Gated = (CPUDevice) -> (MatrixView, MatrixView, MatrixView) -> Void
    let gated: [(String, Gated, (Double) -> Double)] = [
      (
        "siluAndMultiply", { device in { try? device.siluAndMultiply($0, $1, into: $2) } },
        { $0 / (1 + exp(-$0)) }
      ),
      (
        "geluTanhAndMultiply", { device in { try? device.geluTanhAndMultiply($0, $1, into: $2) } },
        { x in x / (1 + exp(-2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x))) }
      ),
      (
        "geluAndMultiply", { device in { try? device.geluAndMultiply($0, $1, into: $2) } },
        { 0.5 * $0 * erfc(-$0 / 2.squareRoot()) }
      ),
    ]
    for (name, run, function) in gated {
      let exact = zip(gate.values, up.values).map { function(Double($0)) * Double($1) }
      // An exponent's argument is rounded: its size times 2^-24 is a relative error.
      let scale = zip(exact, gate.values).map { (result: Double, x: Float) -> Double in
        let x = abs(Double(x))
        return abs(result) * (1 + 0.4 * min(x + 0.08 * x * x * x, 100)) + 1e-30
      }
      check(.operators, name, limit: 1e-6, exact: exact, scale: scale) {
        let y = Matrix(poisoned: 2, values.count)
        run(devices[$0])(gate.view, up.view, y.view)
        return y
      }
    }
    let exact = gate.values.map { 0.5 * Double($0) * erfc(-Double($0) / 2.squareRoot()) }
    let scale = zip(exact, gate.values).map { (result: Double, x: Float) -> Double in
      abs(result) * (1 + 0.2 * Double(x) * Double(x)) + 1e-30
    }
    check(.operators, "gelu", limit: 1e-6, exact: exact, scale: scale) {
      let y = Matrix(poisoned: 2, values.count)
      try? devices[$0].gelu(gate.view, into: y.view)
      return y
    }
  }

  private func checkRotation(
    _ pairing: RotaryEmbedding.Pairing, dimension: Int, head: Int
  ) throws {
    let embedding = try RotaryEmbedding(pairing: pairing, dimension: dimension, base: 1e5)
    let positions = [0, 1, 7, 131_071]
    var table = RotaryTable(embedding)
    table.fill(positions: positions)
    let x = Matrix(positions.count, 3 * head, &random)
    var exact = x.values.map(Double.init)
    for (row, position) in positions.enumerated() {
      for start in stride(from: row * 3 * head, to: (row + 1) * 3 * head, by: head) {
        for i in 0..<dimension / 2 {
          let (a, b) = pairing == .adjacent ? (2 * i, 2 * i + 1) : (i, i + dimension / 2)
          let angle = Double(position) * pow(1e5, -2 * Double(i) / Double(dimension))
          let (u, v) = (exact[start + a], exact[start + b])
          exact[start + a] = u * cos(angle) - v * sin(angle)
          exact[start + b] = u * sin(angle) + v * cos(angle)
        }
      }
    }
    let scale = exact.map { _ in 1.0 }
    check(
      .operators, "rotate \(pairing) \(dimension) of \(head)", limit: 3e-7, exact: exact,
      scale: scale
    ) {
      let y = x.copy
      try? devices[$0].rotate(y.view, heads: 3, by: table)
      return y
    }
  }
}
