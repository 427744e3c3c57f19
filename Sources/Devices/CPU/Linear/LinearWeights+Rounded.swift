internal import CMicrokernels
internal import Synchronization
internal import Tensors

// Products of rounded activations (`LinearPrecision.fast`).
extension LinearWeights {
  /// Rows of a block, about: 256 rounded rows of a piece stay in the second-level cache.
  private static let roundedBlockRows = 256

  /// Inputs of a piece that is converted: two panels of it stay in the second-level cache.
  private static let expandedInputs = 1_024

  /// Inputs of a piece that is read as it is, streaming through the first-level cache.
  private static let streamedInputs = 2_048

  /// Computes products whose weights all have kernels for rounded activations.
  ///
  /// Bytes are summed in one order whatever the number of rows, pairs of bfloat16 are not.
  static func multiplyRounded(
    _ x: MatrixView, _ products: [Product], _ device: CPUDevice, _ isRowInvariant: Bool
  ) {
    let mayBeFew = !isRowInvariant || products.allSatisfy { $0.weights.isQuantised }
    if x.rows <= Int(SWA_FEW_ROWS), mayBeFew {
      multiplyRoundedFew(x, products, device)
    } else {
      device.roundedRows.withLock { buffer in
        let roundings = Roundings(products)
        let byteCount = roundings.count * x.rows * swa_rounded_row_bytes(x.columns)
        if buffer.bytes.count < byteCount {
          buffer = AlignedBuffer(byteCount: byteCount + byteCount / 2)
        }
        guard let rounded = buffer.elements(UInt8.self).baseAddress else { return }
        roundings.round(x, into: rounded, device)
        multiplyRoundedMany(x.rows, rounded, roundings, products, device)
      }
    }
  }

  /// Each worker rounds the rows for itself, then takes runs of panels as it gets free.
  private static func multiplyRoundedFew(
    _ x: MatrixView, _ products: [Product], _ device: CPUDevice
  ) {
    let rowBytes = swa_rounded_row_bytes(x.columns)
    let panels = products.reduce(0) { $0 + $1.weights.panels }
    let grain = max(1, panels / (device.pool.count * 6))
    let next = Atomic<Int>(0)
    device.pool.forkJoin { worker in
      let floats = x.rows * rowBytes / MemoryLayout<Float>.stride
      let rounded = UnsafeMutableRawPointer(device.scratch.floats(floats, worker: worker))
        .assumingMemoryBound(to: UInt8.self)
      var present: Int32 = 0
      var run = next.add(1, ordering: .relaxed).oldValue
      var first = 0
      for product in products {
        let weights = product.weights
        let end = first + (weights.panels + grain - 1) / grain
        if run < end, let kernels = weights.rounded {
          if kernels.rounding != present {
            for row in 0..<x.rows {
              kernels.round?(x.row(row), x.columns, rounded + row * rowBytes)
            }
            present = kernels.rounding
          }
          var job = swa_rounded_job(
            panels: weights.panelBase, panel_bytes: weights.panelBytes, inputs: weights.inputs,
            outputs: weights.outputs, x: rounded, row_bytes: rowBytes, rows: x.rows,
            y: product.output.base, y_stride: product.output.stride, bias: weights.biasBase,
            accumulate: product.accumulate)
          while run < end {
            let panel = (run - first) * grain
            kernels.few?(&job, panel, min(panel + grain, weights.panels))
            run = next.add(1, ordering: .relaxed).oldValue
          }
        }
        first = end
      }
    }
  }

  /// Workers take tiles of rows × panels as they get free.
  private static func multiplyRoundedMany(
    _ rows: Int, _ rounded: UnsafePointer<UInt8>, _ roundings: Roundings, _ products: [Product],
    _ device: CPUDevice
  ) {
    let blocks = (rows + roundedBlockRows - 1) / roundedBlockRows
    let panels = products.reduce(0) { $0 + $1.weights.panels }
    // Runs of whole pairs of panels.
    let grain = min(max(1, panels * blocks / (device.pool.count * 16)), 4) * 2
    let next = Atomic<Int>(0)
    device.pool.forkJoin { worker in
      let pieces = 2 * swa_rounded_piece_bytes(expandedInputs)
      let scratch = device.scratch.floats(pieces / MemoryLayout<Float>.stride, worker: worker)
      var tile = next.add(1, ordering: .relaxed).oldValue
      var first = 0
      for (product, start) in zip(products, roundings.starts) {
        let weights = product.weights
        let runs = (weights.panels + grain - 1) / grain
        let end = first + blocks * runs
        while tile < end {
          let (block, run) = (tile - first).quotientAndRemainder(dividingBy: runs)
          let range = rows * block / blocks..<rows * (block + 1) / blocks
          weights.multiplyRoundedTile(
            rounded + start * rows * swa_rounded_row_bytes(weights.inputs), product, rows: range,
            panels: run * grain..<min((run + 1) * grain, weights.panels), scratch)
          tile = next.add(1, ordering: .relaxed).oldValue
        }
        first = end
      }
    }
  }

  /// Inputs are the outer loop so that a block of activations is reused by all panels of a tile.
  private func multiplyRoundedTile(
    _ x: UnsafePointer<UInt8>, _ product: Product, rows: Range<Int>, panels: Range<Int>,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    guard let kernels = rounded, let many = kernels.many else { return }
    let rowBytes = swa_rounded_row_bytes(inputs)
    let most = kernels.expand == nil ? Self.streamedInputs : Self.expandedInputs
    let piece = UnsafeMutableRawPointer(scratch).assumingMemoryBound(to: UInt8.self)
    for k in stride(from: 0, to: inputs, by: most) {
      let count = min(most, inputs - k)
      for panel in stride(from: panels.lowerBound, to: panels.upperBound, by: 2) {
        let column = panel * Self.panelOutputs
        var source = panelBase + panel * panelBytes + offset(ofInput: k)
        var distance = panelBytes
        if let expand = kernels.expand {
          distance = swa_rounded_piece_bytes(count)
          for i in 0..<min(2, panels.upperBound - panel) {
            expand(source + i * panelBytes, 0, count, piece + i * distance)
          }
          source = UnsafePointer(piece)
        }
        let ahead = next(after: panel, k, in: panels, by: most)
        var tile = swa_rounded_tile(
          panels: source, panel_stride: distance, inputs: inputs, first: k, count: count,
          x: x + rows.lowerBound * rowBytes, row_bytes: rowBytes, rows: rows.count,
          y: product.output.row(rows.lowerBound) + column, y_stride: product.output.stride,
          columns: min(2 * Self.panelOutputs, outputs - column),
          bias: k == 0 ? biasBase.map { $0 + column } : nil,
          accumulate: product.accumulate || k > 0, ahead: ahead.start, ahead_bytes: ahead.count,
          ahead_stride: panelBytes)
        many(&tile)
      }
    }
  }

  /// The part of a panel that is read after a piece of `most` inputs at `k` of `panel`.
  private func next(
    after panel: Int, _ k: Int, in panels: Range<Int>, by most: Int
  ) -> (start: UnsafePointer<UInt8>?, count: Int) {
    var (panel, k) = (panel + 2, k)
    if panel >= panels.upperBound { (panel, k) = (panels.lowerBound, k + most) }
    if k >= inputs { (panel, k) = (panels.upperBound, 0) }
    // The last panel may be alone: its pair is not there to be read.
    guard panel + 1 < self.panels else { return (nil, 0) }
    let start = offset(ofInput: k)
    let end = k + most < inputs ? offset(ofInput: k + most) : panelBytes
    return (panelBase + panel * panelBytes + start, end - start)
  }

  /// Bytes from a panel's start to input `k`, a multiple of the format's unit.
  private func offset(ofInput k: Int) -> Int {
    k / swa_format_unit(format) * swa_format_unit_bytes(format)
  }
}

/// The different ways in which some products want their activations rounded.
private struct Roundings {
  /// The place of each product's rounding among the different ones.
  private(set) var starts: [Int] = []
  private var kernels: [swa_rounded_kernels] = []

  var count: Int { kernels.count }

  init(_ products: [LinearWeights.Product]) {
    for product in products {
      guard let wanted = product.weights.rounded else { continue }
      if let known = kernels.firstIndex(where: { $0.rounding == wanted.rounding }) {
        starts.append(known)
      } else {
        starts.append(kernels.count)
        kernels.append(wanted)
      }
    }
  }

  /// Rounds all rows in every way, one way after the other.
  func round(
    _ x: MatrixView, into rounded: UnsafeMutablePointer<UInt8>, _ device: CPUDevice
  ) {
    let rowBytes = swa_rounded_row_bytes(x.columns)
    device.pool.forEachRange(kernels.count * x.rows, grain: max(1, (1 << 14) / x.columns)) {
      for i in $0 {
        kernels[i / x.rows].round?(x.row(i % x.rows), x.columns, rounded + i * rowBytes)
      }
    }
  }
}
