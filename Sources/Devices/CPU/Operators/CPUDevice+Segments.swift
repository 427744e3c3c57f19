internal import CMicrokernels
internal import Synchronization
public import Tensors

/// A low-rank change of a linear layer: y += scale · (x·Aᵀ)·Bᵀ (LoRA, arXiv 2106.09685).
public struct LowRankAdapter: Sendable {
  /// A: rank × inputs.
  public let down: LinearWeights
  /// B: outputs × rank.
  public let up: LinearWeights
  /// The factor of the change, alpha / rank as a rule.
  public let scale: Float

  /// An adapter of two matrices of one device.
  public init(
    down: LinearWeights, up: LinearWeights, scale: Float = 1
  ) throws(CPUDevice.OperatorFailure) {
    guard down.outputs == up.inputs else {
      throw .shape(
        operation: "LowRankAdapter", argument: "up", expected: "\(down.outputs) inputs",
        found: "\(up.inputs)")
    }
    (self.down, self.up, self.scale) = (down, up, scale)
  }

  /// The outputs of `down` and inputs of `up`.
  public var rank: Int { down.outputs }
}

extension CPUDevice {
  /// Multiplies every segment of rows by its own weights: y[s] = x[s]·W[weightIndices[s]]ᵀ, or adds
  /// it (FlashInfer's segment GEMM; with segments of one row its BGMV).
  ///
  /// Segments are shared out among the workers together, however small they are.
  ///
  /// - Parameters:
  ///   - x: Tokens × inputs.
  ///   - segments: Which rows belong together (`indptr`); a segment may be empty.
  ///   - weights: Of one shape, any stored types, of this device.
  ///   - weightIndices: The weights of every segment.
  ///   - y: The result, tokens × outputs; must not overlap `x`.
  ///   - accumulate: Whether the product is added to what is there.
  public func segmentGEMM(
    _ x: MatrixView, segments: RaggedIndex, weights: [LinearWeights], weightIndices: [Int],
    into y: MatrixView, accumulate: Bool = false
  ) throws(OperatorFailure) {
    try requireSegments(x, segments, weightIndices.count, "weightIndices")
    try requireValues(weightIndices, "weightIndices", expected: "0 to \(weights.count - 1)") {
      weights.indices.contains($0)
    }
    for weights in weights {
      try requireWeights(weights, "weights", inputs: x.columns, outputs: y.columns)
    }
    try require(y, "y", rows: x.rows, columns: y.columns)
    multiply(
      weightIndices.indices.map { segment in
        let rows = segments[segment]
        return Segment(
          x: x.rows(rows),
          product: .init(
            weights[weightIndices[segment]], into: y.rows(rows), accumulate: accumulate))
      })
  }

  /// Adds to every segment of rows what its adapter makes of it:
  /// y[s] += scale · (x[s]·Aᵀ)·Bᵀ.
  ///
  /// - Parameters:
  ///   - x: Tokens × inputs.
  ///   - segments: Which rows belong together (`indptr`); a segment may be empty.
  ///   - adapters: Of one shape but for their ranks, of this device.
  ///   - adapterIndices: The adapter of every segment; `nil` leaves its rows as they are.
  ///   - y: The linear layer's outputs, tokens × outputs; must not overlap `x`.
  public func addLoRA(
    _ x: MatrixView, segments: RaggedIndex, adapters: [LowRankAdapter], adapterIndices: [Int?],
    to y: MatrixView
  ) throws(OperatorFailure) {
    try requireSegments(x, segments, adapterIndices.count, "adapterIndices")
    try requireValues(
      adapterIndices, "adapterIndices", expected: "nil or 0 to \(adapters.count - 1)"
    ) { $0.map(adapters.indices.contains) ?? true }
    for adapter in adapters {
      try requireWeights(adapter.down, "adapters", inputs: x.columns, outputs: adapter.rank)
      try requireWeights(adapter.up, "adapters", inputs: adapter.rank, outputs: y.columns)
    }
    try require(y, "y", rows: x.rows, columns: y.columns)
    let width = adapters.reduce(0) { max($0, $1.rank) }
    let memory = AlignedBuffer(byteCount: x.rows * width * MemoryLayout<Float>.stride)
    withExtendedLifetime(memory) {
      guard width > 0, let base = memory.elements(Float.self).baseAddress else { return }
      let inner = MatrixView(base, rows: x.rows, columns: width)
      let used = adapterIndices.enumerated().compactMap { segment, index in
        index.map { (rows: segments[segment], adapter: adapters[$0]) }
      }
      multiply(
        used.map { rows, adapter in
          Segment(
            x: x.rows(rows),
            product: .init(adapter.down, into: inner.rows(rows).columns(0..<adapter.rank)))
        })
      for (rows, adapter) in used where adapter.scale != 1 {
        for row in rows { operators.scale?(adapter.scale, inner.row(row), adapter.rank) }
      }
      multiply(
        used.map { rows, adapter in
          Segment(
            x: inner.rows(rows).columns(0..<adapter.rank),
            product: .init(adapter.up, into: y.rows(rows), accumulate: true))
        })
    }
  }

  private func requireSegments(
    _ x: MatrixView, _ segments: RaggedIndex, _ indices: Int, _ argument: String,
    _ operation: String = #function
  ) throws(OperatorFailure) {
    try require(
      segments.total == x.rows, "segments", expected: "\(x.rows) rows",
      found: "\(segments.total)", operation)
    try require(
      indices == segments.count, argument, expected: "\(segments.count) elements",
      found: "\(indices)", operation)
  }

  private func requireWeights(
    _ weights: LinearWeights, _ argument: String, inputs: Int, outputs: Int,
    _ operation: String = #function
  ) throws(OperatorFailure) {
    try require(
      weights.inputs == inputs && weights.outputs == outputs && weights.device === self, argument,
      expected: "\(outputs) × \(inputs) of this device",
      found: "\(weights.outputs) × \(weights.inputs)"
        + (weights.device === self ? "" : " of another"), operation)
  }

  /// Rows that are multiplied by weights of their own.
  private struct Segment {
    var x: MatrixView
    var product: LinearWeights.Product
  }

  /// Workers take runs of panels of blocks of rows as they get free.
  private func multiply(_ segments: [Segment]) {
    func blocks(_ segment: Segment) -> Int {
      (segment.x.rows + LinearWeights.blockRows - 1) / LinearWeights.blockRows
    }
    let tiles = segments.reduce(0) { $0 + blocks($1) * $1.product.weights.panels }
    guard tiles > 0 else { return }
    let grain = max(1, tiles / (pool.count * 8))
    let next = Atomic<Int>(0)
    pool.forkJoin { worker in
      var tile = next.add(1, ordering: .relaxed).oldValue
      var first = 0
      for segment in segments {
        let weights = segment.product.weights
        let runs = (weights.panels + grain - 1) / grain
        let end = first + blocks(segment) * runs
        while tile < end {
          let (block, run) = (tile - first).quotientAndRemainder(dividingBy: runs)
          let start = block * LinearWeights.blockRows
          let rows = start..<min(start + LinearWeights.blockRows, segment.x.rows)
          var product = segment.product
          product.output = product.output.rows(rows)
          weights.multiply(
            segment.x.rows(rows), product,
            panels: run * grain..<min((run + 1) * grain, weights.panels), worker: worker)
          tile = next.add(1, ordering: .relaxed).oldValue
        }
        first = end
      }
    }
  }
}
