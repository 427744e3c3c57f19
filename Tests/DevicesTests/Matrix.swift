import Synchronization
import Tensors

/// Owned activations whose rows are followed by guard elements.
struct Matrix {
  let buffer: AlignedBuffer
  let view: MatrixView
  private static let guardBits = Float(bitPattern: 0x7FC0_1234)

  init(_ rows: Int, _ columns: Int, padding: Int = 0, filled value: Float) {
    let stride = columns + padding
    buffer = AlignedBuffer(byteCount: rows * stride * 4 + 4)
    Self.keep(buffer)
    // One float off the buffer's alignment.
    let base = buffer.elements(Float.self).baseAddress.unsafelyUnwrapped + 1
    view = MatrixView(base, rows: rows, columns: columns, stride: stride)
    for i in 0..<rows {
      for j in 0..<stride { view.row(i)[j] = j < columns ? value : Self.guardBits }
    }
  }

  /// The latest buffers: Swift may release a matrix once its view is taken, before the view is used.
  private static let kept = Mutex<(buffers: [AlignedBuffer], next: Int)>(([], 0))

  private static func keep(_ buffer: AlignedBuffer) {
    kept.withLock { kept in
      if kept.buffers.count < 1_024 {
        kept.buffers.append(buffer)
      } else {
        kept.buffers[kept.next % 1_024] = buffer
        kept.next += 1
      }
    }
  }

  static func random(
    _ rows: Int, _ columns: Int, padding: Int = 0, in range: ClosedRange<Float> = -1...1,
    using random: inout SplitMix
  ) -> Matrix {
    let matrix = Matrix(rows, columns, padding: padding, filled: 0)
    for i in 0..<rows {
      for j in 0..<columns { matrix[i, j] = Float.random(in: range, using: &random) }
    }
    return matrix
  }

  subscript(row: Int, column: Int) -> Float {
    get { view.row(row)[column] }
    nonmutating set { view.row(row)[column] = newValue }
  }

  /// All elements, row after row.
  var values: [Float] {
    (0..<view.rows).flatMap { i in (0..<view.columns).map { self[i, $0] } }
  }

  /// Whether the elements between rows are as they were.
  var paddingIsUntouched: Bool {
    (0..<view.rows).allSatisfy { i in
      (view.columns..<view.stride).allSatisfy {
        view.row(i)[$0].bitPattern == Self.guardBits.bitPattern
      }
    }
  }
}

/// x·Wᵀ in Double, and Σ|x·w| that errors are measured against.
struct Oracle {
  let columns: Int
  let exact: [Double]
  let magnitude: [Double]

  init(_ x: Matrix, _ w: StoredMatrix) {
    columns = w.rows
    var exact = [Double](repeating: 0, count: x.view.rows * w.rows)
    var magnitude = exact
    for n in 0..<w.rows {
      let weights = (0..<w.columns).map { w.weight(n, $0) }
      for m in 0..<x.view.rows {
        let row = x.view.row(m)
        var sum = 0.0
        var size = 0.0
        for k in 0..<w.columns {
          let product = Double(row[k]) * weights[k]
          sum += product
          size += abs(product)
        }
        exact[m * w.rows + n] = sum
        magnitude[m * w.rows + n] = size
      }
    }
    self.exact = exact
    self.magnitude = magnitude
  }

  /// The largest error of the first rows of the product, relative to Σ|x·w|; NaN counts as ∞.
  func largestError(_ y: Matrix) -> Double {
    var largest = 0.0
    for i in 0..<y.view.rows {
      for j in 0..<y.view.columns {
        let at = i * columns + j
        let error = abs(Double(y[i, j]) - exact[at]) / max(magnitude[at], 1e-30)
        guard error <= largest else {
          largest = error.isNaN ? .infinity : error
          continue
        }
      }
    }
    return largest
  }
}
