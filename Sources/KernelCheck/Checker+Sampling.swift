import CMicrokernels
import Devices
import Glibc
import Tensors

// The kernels over a vocabulary, at sizes around and beyond a span's, and what is made of them.
extension Checker {
  private static let counts = [1, 15, 63, 64, 65, 200, 4_096, 5_000]

  func checkSampling() throws {
    for count in Self.counts {
      Matrix.releaseAll()
      let x = Matrix(1, count, in: -20...5, &random)
      for i in 0..<count where i % 37 == 5 { x.view.base[i] = [.nan, -.infinity, -0.0][i % 3] }
      checkMaxima(x)
      checkWeights(x)
      checkThresholds(x)
      checkKeeping(x)
      checkExcess(count)
      checkTopK(x)
    }
    try checkSegments()
  }

  private var kernels: [swa_sampling_kernels] { devices.map(\.linearKernels.sampling) }

  private func maxima(_ x: [Float]) -> [Float] {
    stride(from: 0, to: x.count, by: Int(SWA_SPAN)).map { start in
      x[start..<min(start + Int(SWA_SPAN), x.count)].reduce(-.infinity) { $1 > $0 ? $1 : $0 }
    }
  }

  private func checkMaxima(_ x: Matrix) {
    let expected = maxima(x.values)
    let exact = (expected + [expected.reduce(-.infinity, max)]).map { Double($0) }
    let scale = exact.map { _ in 1.0 }
    check(.sampling, "maxima \(x.view.columns)", limit: 0, exact: exact, scale: scale) {
      let y = Matrix(poisoned: 1, exact.count)
      y.view.base[exact.count - 1] =
        kernels[$0].maxima?(x.view.base, x.view.columns, y.view.base) ?? .nan
      return y
    }
  }

  private func checkWeights(_ x: Matrix) {
    let count = x.view.columns
    let weights = x.values.map { $0.isNaN ? 0 : exp((Double($0) - 5) * 0.7) }
    let exact = weights + [weights.reduce(0, +)]
    // The exponent's argument is rounded; sums of positive floats are good to many ulps.
    let scale = exact.map { $0 * 20 + 1e-30 }
    check(.sampling, "weights \(count)", limit: 3e-7, exact: exact, scale: scale) {
      let y = Matrix(poisoned: 1, exact.count)
      var spans = [Float](repeating: .nan, count: (count + 63) / 64)
      let sum = kernels[$0].weights?(x.view.base, count, 5, 0.7, y.view.base, &spans) ?? .nan
      let found = (0..<count).map { y.view.base[$0] }
      y.view.base[count] = spans == maxima(found) ? Float(sum) : .nan
      return y
    }
  }

  private func checkThresholds(_ x: Matrix) {
    let count = x.view.columns
    let row = x.values
    for (low, high) in [(Float(-3), Float(2)), (-.infinity, .infinity), (0, 0), (6, 7)] {
      let above = row.filter { $0 >= low }
      let inside = row.indices.filter { row[$0] >= low && row[$0] <= high }
      let finite = above.allSatisfy(\.isFinite)
      let exact =
        [Double(above.count), finite ? above.reduce(0) { $0 + Double($1) } : 0]
        + inside.map { Double(row[$0]) } + inside.map { Double($0) }
      let size = above.reduce(1) { $0 + abs(Double($1)) }
      let scale = [1, size] + inside.indices.map { _ in 1e-30 } + inside.map { _ in 1e-30 }
      for spans in [nil, maxima(row)] {
        check(
          .sampling, "above and gather \(count) from \(low) to \(high)", limit: 2e-7,
          exact: exact, scale: scale
        ) { side in
          let values = Matrix(poisoned: 1, count + 16)
          var positions = [Int32](repeating: -1, count: count + 16)
          var sum = Double.nan
          let gather = { (spans: UnsafePointer<Float>?) -> (Int, Int) in
            (
              self.kernels[side].above?(x.view.base, spans, count, low, &sum) ?? -1,
              self.kernels[side].gather?(
                x.view.base, spans, count, low, high, values.view.base, &positions) ?? -1
            )
          }
          let (number, found) =
            spans.map { $0.withUnsafeBufferPointer { gather($0.baseAddress) } }
            ?? gather(nil)
          guard found == inside.count, values.guardsAreIntact else {
            return Matrix(poisoned: 1, exact.count)
          }
          return Matrix(1, exact.count) { _, i in
            switch i {
            case 0: Float(number)
            case 1: finite ? Float(sum) : 0
            case ..<(found + 2): values.view.base[i - 2]
            default: Float(positions[i - 2 - found])
            }
          }
        }
      }
    }
  }

  private func checkKeeping(_ x: Matrix) {
    let count = x.view.columns
    let row = x.values
    let value = row[count / 2].isNaN ? 0 : row[count / 2]
    for (value, last) in [(value, count / 2), (value, count / 3), (-.infinity, Int.max)] {
      let exact = row.indices.map {
        row[$0] > value || row[$0] == value && $0 <= last ? Double(row[$0] * 3) : -1
      }
      check(
        .sampling, "keep \(count)", limit: 0, exact: exact, scale: exact.map { _ in 1 }
      ) {
        let y = Matrix(poisoned: 1, count)
        kernels[$0].keep?(x.view.base, count, value, last, 3, -1, y.view.base)
        return y
      }
    }
  }

  private func checkExcess(_ count: Int) {
    let q = Matrix(1, count, in: 0...1, &random)
    let p = Matrix(1, count, in: 0...1, &random)
    p.view.base[count / 2] = .nan
    let differences = (0..<count).map { i -> Double in
      let difference = Double(q.view.base[i]) * 0.5 - Double(p.view.base[i]) * 0.25
      return difference > 0 ? difference : 0
    }
    let exact = differences + [differences.reduce(0, +)]
    let scale = differences.map { _ in 1.0 } + [Double(count)]
    check(.sampling, "excess \(count)", limit: 2e-7, exact: exact, scale: scale) {
      let y = Matrix(poisoned: 1, count + 1)
      let sum = kernels[$0].excess?(q.view.base, 0.5, p.view.base, 0.25, count, y.view.base)
      y.view.base[count] = Float(sum ?? .nan)
      return y
    }
  }

  private func checkTopK(_ x: Matrix) {
    let count = x.view.columns
    let row = x.values
    let order = row.indices.filter { !row[$0].isNaN }
      .sorted { (row[$0], $1) > (row[$1], $0) }
    for topK in [1, 7, count / 3 + 1] {
      let kept = Set(order.prefix(topK))
      let exact = row.indices.map { kept.contains($0) ? Double(row[$0]) : -.infinity }
      check(
        .sampling, "topKMaskLogits \(topK) of \(count)", limit: 0, exact: exact,
        scale: exact.map { _ in 1 }
      ) {
        let y = Matrix(poisoned: 1, count)
        try? devices[$0].topKMaskLogits(x.view, topK: [topK], into: y.view)
        return y
      }
    }
  }

  /// Segments of no, one, few and many rows.
  private func checkSegments() throws {
    let (inputs, outputs) = (40, 21)
    let segments = try RaggedIndex(lengths: [1, 0, 3, 13, 1])
    let choice = [1, 0, 0, 1, 0]
    let matrices = (0..<2).map { _ in Matrix(outputs, inputs, &random) }
    let weights = try devices.map { device in
      try matrices.map { matrix in
        try matrix.values.withUnsafeBytes { bytes in
          try LinearWeights(
            .float32, rows: outputs, columns: inputs, bytes: bytes, device: device)
        }
      }
    }
    let x = Matrix(segments.total, inputs, &random)
    var exact: [Double] = []
    for segment in 0..<segments.count {
      for row in segments[segment] {
        for output in 0..<outputs {
          let weight = matrices[choice[segment]].view.row(output)
          exact.append(
            (0..<inputs).reduce(0) { $0 + Double(x.view.row(row)[$1]) * Double(weight[$1]) })
        }
      }
    }
    check(
      .linear, "segmentGEMM", limit: 1e-6, exact: exact, scale: exact.map { _ in Double(inputs) }
    ) {
      let y = Matrix(poisoned: segments.total, outputs)
      try? devices[$0].segmentGEMM(
        x.view, segments: segments, weights: weights[$0], weightIndices: choice, into: y.view)
      return y
    }
  }
}
