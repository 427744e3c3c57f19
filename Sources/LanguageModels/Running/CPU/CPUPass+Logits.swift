import Devices
import Tensors

extension CPUPass {
  /// They replace the first rows of `normed`, which has room for as many rows.
  func hidden(of rows: ArraySlice<Int>, normalisedBy norm: Norm) throws -> MatrixView {
    var gathered = self[.normed]
    gathered.rows = rows.count
    for (i, row) in rows.enumerated() {
      gathered.row(i).update(from: self[.hidden].row(row), count: gathered.columns)
    }
    try device.rmsNorm(
      gathered, weight: weights.norms[norm.index], epsilon: configuration.normEpsilon,
      into: gathered)
    return gathered
  }

  func logits(
    of rows: [Int], normalisedBy norm: Norm, _ output: Linear,
    _ body: (_ places: Range<Int>, _ logits: MatrixView) throws -> Void
  ) throws {
    if let parallelism = weights.parallelism, parallelism.count > 1 {
      return try logits(of: rows, normalisedBy: norm, output, with: parallelism, body)
    }
    guard let memory = logitBlock(rows: rows.count) else { return }
    for start in stride(from: 0, to: rows.count, by: memory.rows) {
      let places = start..<min(start + memory.rows, rows.count)
      let block = memory.rows(0..<places.count)
      weights.linears[output.index].multiply(
        try hidden(of: rows[places], normalisedBy: norm), into: block,
        isRowInvariant: isBatchInvariant)
      try body(places, block)
    }
  }

  /// Of rows that are one block, each rank computes some columns; rank 0 calls `body` with all.
  private func logits(
    of rows: [Int], normalisedBy norm: Norm, _ output: Linear,
    with parallelism: TensorParallelism,
    _ body: (_ places: Range<Int>, _ logits: MatrixView) throws -> Void
  ) throws {
    let columns = configuration.vocabularySize
    let widths = ModelPart.vocabulary(columns, of: parallelism.count).map(\.count)
    // One row needs no rearranging.
    let count = (rows.count > 1 ? 2 : 1) * rows.count * columns
    let needed = count * MemoryLayout<Float>.stride
    if logitMemory.bytes.count < needed { logitMemory = AlignedBuffer(byteCount: needed) }
    guard !rows.isEmpty, let base = logitMemory.elements(Float.self).baseAddress else { return }
    let part = MatrixView(base, rows: rows.count, columns: widths[parallelism.rank])
    let whole = MatrixView(
      rows.count > 1 ? base + rows.count * columns : base, rows: rows.count, columns: columns)
    weights.linears[output.index].multiply(
      try hidden(of: rows[...], normalisedBy: norm), into: part, isRowInvariant: isBatchInvariant)
    try parallelism.gather(part, widths: widths, into: whole)
    if parallelism.rank == 0 { try body(rows.indices, whole) }
  }

  /// A block for the logits of at most `rows` rows: the layers' scratch space, which is free by then,
  /// unless it holds too few of them.
  private func logitBlock(rows: Int) -> MatrixView? {
    let width = configuration.vocabularySize
    let most = max(min(rows, capacity, Self.logitRows), 1)
    let spare = scratch.count / width
    if spare >= min(most, Self.logitRows / 2), let base = scratch.baseAddress {
      return MatrixView(base, rows: min(most, spare), columns: width)
    }
    let needed = most * width * MemoryLayout<Float>.stride
    if logitMemory.bytes.count < needed { logitMemory = AlignedBuffer(byteCount: needed) }
    return logitMemory.elements(Float.self).baseAddress.map {
      MatrixView($0, rows: most, columns: width)
    }
  }

  /// Logits computed together: enough for the matrix product to reuse weights, few enough to fit.
  private static let logitRows = 64
}
