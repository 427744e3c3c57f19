internal import CMicrokernels
internal import Synchronization
internal import Tensors

// Prefill and batches: a piece of a panel is converted to floats once for many rows; floats are read
// where they lie.
extension LinearWeights {
  /// Inputs of a piece: 256 × 16 floats stay in the first-level cache.
  static let pieceInputs = 256

  /// Rows of a block: 252 × 256 activations stay in the second-level cache; a multiple of every
  /// level's register block.
  static let blockRows = 252

  /// Workers take tiles of rows × panels as they get free.
  static func multiplyMany(_ x: MatrixView, _ products: [Product], _ device: CPUDevice) {
    let blocks = (x.rows + blockRows - 1) / blockRows
    let panels = products.reduce(0) { $0 + $1.weights.panels }
    let grain = min(max(1, panels * blocks / (device.pool.count * 8)), 8)
    let next = Atomic<Int>(0)
    device.pool.forkJoin { worker in
      let piece = device.scratch.floats(pieceInputs * panelOutputs, worker: worker)
      var tile = next.add(1, ordering: .relaxed).oldValue
      var first = 0
      for product in products {
        let runs = (product.weights.panels + grain - 1) / grain
        let end = first + blocks * runs
        while tile < end {
          let (block, run) = (tile - first).quotientAndRemainder(dividingBy: runs)
          let rows = block * blockRows..<min((block + 1) * blockRows, x.rows)
          let panels = run * grain..<min((run + 1) * grain, product.weights.panels)
          product.weights.multiplyTile(x, product, rows: rows, panels: panels, piece)
          tile = next.add(1, ordering: .relaxed).oldValue
        }
        first = end
      }
    }
  }

  /// Inputs are the outer loop so that a block of activations is reused by all panels of a tile.
  func multiplyTile(
    _ x: MatrixView, _ product: Product, rows: Range<Int>, panels: Range<Int>,
    _ piece: UnsafeMutablePointer<Float>
  ) {
    guard let expand = kernels.expand, let many = device.linearKernels.many else { return }
    for k in stride(from: 0, to: inputs, by: Self.pieceInputs) {
      let count = min(Self.pieceInputs, inputs - k)
      for panel in panels {
        let column = panel * Self.panelOutputs
        let packed = panelBase + panel * panelBytes
        let floats: UnsafePointer<Float>
        if format == SWA_F32 {
          floats =
            UnsafeRawPointer(packed).assumingMemoryBound(to: Float.self) + k * Self.panelOutputs
        } else {
          expand(packed, k, count, piece)
          floats = UnsafePointer(piece)
        }
        many(
          x.row(rows.lowerBound) + k, x.stride, rows.count, floats, count,
          product.output.row(rows.lowerBound) + column, product.output.stride,
          min(Self.panelOutputs, outputs - column), k == 0 ? biasBase.map { $0 + column } : nil,
          product.accumulate || k > 0)
      }
    }
  }
}
