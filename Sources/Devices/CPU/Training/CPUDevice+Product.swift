internal import CMicrokernels
internal import Synchronization
public import Tensors

/// How a large product treats its factors; sums are always 32-bit floats.
public enum ProductPrecision: String, Sendable, Hashable, CaseIterable {
  /// Factors are 32-bit floats.
  case float32 = "f32"
  /// Factors are rounded to bfloat16 and multiplied in pairs where the processor can.
  case bfloat16 = "bf16"
}

/// A factor of a product: a matrix or its transpose.
public struct ProductFactor {
  /// The matrix as it lies in memory.
  public var matrix: MatrixView
  /// Whether the factor is the matrix's transpose.
  public var isTransposed: Bool

  /// A factor.
  public init(_ matrix: MatrixView, isTransposed: Bool = false) {
    self.matrix = matrix
    self.isTransposed = isTransposed
  }

  /// The rows of the factor.
  var rows: Int { isTransposed ? matrix.columns : matrix.rows }
  /// The columns of the factor.
  var columns: Int { isTransposed ? matrix.rows : matrix.columns }
  /// The distance of rows and of columns, in elements.
  var strides: (row: Int, column: Int) {
    isTransposed ? (1, matrix.stride) : (matrix.stride, 1)
  }
}

extension MatrixView {
  /// The matrix's transpose as a factor of a product.
  public var transposed: ProductFactor { ProductFactor(self, isTransposed: true) }
}

extension CPUDevice {
  /// C = A·B + bias, or C += A·B + bias, for factors that change with every product: training's.
  ///
  /// Both factors are packed. The order of an output's sum depends on the inner dimension only, so
  /// results are bit-identical for any number of threads.
  ///
  /// - Parameters:
  ///   - a: M × K.
  ///   - b: K × N.
  ///   - c: M × N; does not overlap the factors.
  ///   - bias: N terms added to every row.
  ///   - accumulate: Whether the product is added to what is there.
  ///   - rectify: Whether negative results become 0 (ReLU).
  ///   - precision: How factors are treated.
  /// - Precondition: Shapes fit.
  public func multiply(
    _ a: ProductFactor, _ b: ProductFactor, into c: MatrixView, bias: UnsafePointer<Float>? = nil,
    accumulate: Bool = false, rectify: Bool = false, precision: ProductPrecision = .float32
  ) {
    precondition(
      a.columns == b.rows && c.rows == a.rows && c.columns == b.columns,
      "product: \(a.rows) × \(a.columns) by \(b.rows) × \(b.columns) into \(c.rows) × \(c.columns)")
    let training = linearKernels.training
    let product = BlockedProduct(
      kernels: precision == .float32 ? training.exact : training.rounded, a: a, b: b, c: c,
      bias: bias, accumulate: accumulate, rectify: rectify)
    guard c.rows > 0, c.columns > 0 else { return }
    packedFactor.withLock { buffer in
      let bytes = product.packedWords * MemoryLayout<UInt32>.stride
      if buffer.bytes.count < bytes { buffer = AlignedBuffer(byteCount: bytes + bytes / 4) }
      guard let packed = buffer.elements(UInt32.self).baseAddress else { return }
      product.run(packed, on: self)
    }
  }

  /// C = A·B for plain matrices.
  public func multiply(
    _ a: MatrixView, _ b: ProductFactor, into c: MatrixView, bias: UnsafePointer<Float>? = nil,
    accumulate: Bool = false, rectify: Bool = false, precision: ProductPrecision = .float32
  ) {
    multiply(
      ProductFactor(a), b, into: c, bias: bias, accumulate: accumulate, rectify: rectify,
      precision: precision)
  }
}

/// One product: B is packed whole, A block by block by the worker that needs it.
private struct BlockedProduct {
  let kernels: swa_gemm_kernels
  let a: ProductFactor
  let b: ProductFactor
  let c: MatrixView
  let bias: UnsafePointer<Float>?
  let accumulate: Bool
  let rectify: Bool

  /// Words of the inner dimension that a block spans: its panels of A stay in the second-level
  /// cache, one of B in the first.
  static let blockWords = 256
  /// The most panels of A in a block.
  static let blockPanels = 12

  var depth: Int { a.columns }
  /// Words of the whole inner dimension.
  var words: Int { (depth + kernels.depth - 1) / kernels.depth }
  var columnPanels: Int { (c.columns + kernels.columns - 1) / kernels.columns }
  /// The words of all of B.
  var packedWords: Int { max(words, 1) * columnPanels * kernels.columns }

  func run(_ packed: UnsafeMutablePointer<UInt32>, on device: CPUDevice) {
    let words = max(words, 1)
    device.pool.forEachRange(columnPanels, grain: max(1, 4096 / words)) { panels in
      for panel in panels {
        let first = panel * kernels.columns
        kernels.pack_columns(
          b.matrix.base + first * b.strides.column, b.strides.column, b.strides.row,
          min(kernels.columns, c.columns - first), depth,
          packed + panel * words * kernels.columns)
      }
    }
    // Enough tiles that workers end together. Rows are cut first: a tile packs its rows for itself.
    let wanted = device.pool.count * 4
    let rowPanels = (c.rows + kernels.rows - 1) / kernels.rows
    let panels = min(max(rowPanels / wanted, 2), Self.blockPanels)
    let blockRows = min(panels * kernels.rows, c.rows)
    let rowBlocks = (c.rows + blockRows - 1) / blockRows
    let parts = max(1, wanted / rowBlocks)
    let run = max(2, (columnPanels + parts - 1) / parts)
    let runs = (columnPanels + run - 1) / run
    let next = Atomic<Int>(0)
    device.pool.forkJoin { worker in
      let scratch = UnsafeMutableRawPointer(
        device.scratch.floats(
          Self.blockPanels * kernels.rows * Self.blockWords, worker: worker)
      ).assumingMemoryBound(to: UInt32.self)
      while true {
        let tile = next.add(1, ordering: .relaxed).oldValue
        guard tile < rowBlocks * runs else { return }
        let (block, part) = tile.quotientAndRemainder(dividingBy: runs)
        multiply(
          rows: block * blockRows..<min((block + 1) * blockRows, c.rows),
          panels: part * run..<min((part + 1) * run, columnPanels), packed, scratch)
      }
    }
  }

  private func multiply(
    rows: Range<Int>, panels: Range<Int>, _ packed: UnsafePointer<UInt32>,
    _ scratch: UnsafeMutablePointer<UInt32>
  ) {
    let all = max(words, 1)
    for first in stride(from: 0, to: all, by: Self.blockWords) {
      let count = min(Self.blockWords, all - first)
      let element = first * kernels.depth
      let elements = min(count * kernels.depth, depth - element)
      for row in stride(from: rows.lowerBound, to: rows.upperBound, by: kernels.rows) {
        kernels.pack_rows(
          a.matrix.base + row * a.strides.row + element * a.strides.column, a.strides.row,
          a.strides.column, min(kernels.rows, rows.upperBound - row), elements,
          scratch + (row - rows.lowerBound) * count)
      }
      for panel in panels {
        let column = panel * kernels.columns
        for row in stride(from: rows.lowerBound, to: rows.upperBound, by: kernels.rows) {
          var tile = swa_gemm_tile(
            a: scratch + (row - rows.lowerBound) * count,
            b: packed + (panel * all + first) * kernels.columns, words: count,
            c: c.row(row) + column, ldc: c.stride, rows: min(kernels.rows, rows.upperBound - row),
            columns: min(kernels.columns, c.columns - column),
            bias: first == 0 ? bias.map { $0 + column } : nil,
            accumulate: accumulate || first > 0, rectify: rectify && first + count == all)
          kernels.multiply(&tile)
        }
      }
    }
  }
}
