import Tensors

/// Rows of floats that start off every vector's alignment and are followed by guard elements.
///
/// - Invariant: `view` is valid until `releaseAll`, whether or not the matrix itself lives on.
struct Matrix {
  let view: MatrixView
  // The memory of every matrix made since `releaseAll`. The program has one thread.
  private nonisolated(unsafe) static var memory: [AlignedBuffer] = []
  private static let padding = 3
  private static let guardBits = Float(bitPattern: 0x7FC0_1234)

  /// A matrix of the given elements.
  init(_ rows: Int, _ columns: Int, _ element: (_ row: Int, _ column: Int) -> Float) {
    let stride = columns + Self.padding
    let memory = AlignedBuffer(byteCount: (rows * stride + 1) * MemoryLayout<Float>.stride)
    Self.memory.append(memory)
    let base = memory.elements(Float.self).baseAddress.unsafelyUnwrapped + 1
    view = MatrixView(base, rows: rows, columns: columns, stride: stride)
    for i in 0..<rows {
      for j in 0..<stride { view.row(i)[j] = j < columns ? element(i, j) : Self.guardBits }
    }
  }

  /// Ends the life of all matrices made so far.
  static func releaseAll() { memory.removeAll() }

  /// A matrix for results: reading an element that was not written gives NaN.
  init(poisoned rows: Int, _ columns: Int) { self.init(rows, columns) { _, _ in .nan } }

  /// A matrix of uniform random elements.
  init(
    _ rows: Int, _ columns: Int, in range: ClosedRange<Float> = -1...1, _ random: inout Random
  ) {
    self.init(rows, columns) { _, _ in 0 }
    for i in 0..<rows { for j in 0..<columns { view.row(i)[j] = random.float(in: range) } }
  }

  /// A copy with memory of its own.
  var copy: Matrix { Matrix(view.rows, view.columns) { view.row($0)[$1] } }

  /// All elements, row after row.
  var values: [Float] {
    var values: [Float] = []
    values.reserveCapacity(view.rows * view.columns)
    for i in 0..<view.rows { for j in 0..<view.columns { values.append(view.row(i)[j]) } }
    return values
  }

  /// Whether the elements between rows are as they were.
  var guardsAreIntact: Bool {
    (0..<view.rows).allSatisfy { i in
      (view.columns..<view.stride).allSatisfy {
        view.row(i)[$0].bitPattern == Self.guardBits.bitPattern
      }
    }
  }
}

/// The same numbers on every machine.
struct Random: RandomNumberGenerator {
  private var bits: SplitMix

  init(state: UInt64) { bits = SplitMix(state: state) }

  mutating func next() -> UInt64 { bits.next() }

  /// Uniform in `range`.
  mutating func float(in range: ClosedRange<Float>) -> Float {
    let unit = Float(next() >> 40) * 0x1p-24
    return range.lowerBound + unit * (range.upperBound - range.lowerBound)
  }
}
