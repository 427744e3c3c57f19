import Devices
import Tensors

/// What results of some rows go through on their way to the processor.
struct CUDAOutput {
  /// The most rows at a time.
  let rows: Int
  /// The rows' numbers, here and on the device.
  let chosen: CUDAPinnedBuffer
  let ids: CUDABuffer
  /// Their vectors of the residual stream, and their logits.
  let vectors, logits: CUDABuffer
  /// Logits, or normalised vectors in the activations' type.
  let result: CUDAPinnedBuffer
  /// What reads rows of the residual stream.
  let gather: CUDAOperatorKernels

  init(rows: Int, _ configuration: ModelConfiguration, on device: CUDADevice) throws(CUDAFailure) {
    let (context, float) = (device.context, MemoryLayout<Float>.stride)
    self.rows = rows
    chosen = try context.allocatePinned(bytes: rows * MemoryLayout<Int32>.stride)
    ids = try context.allocate(bytes: rows * MemoryLayout<Int32>.stride)
    vectors = try context.allocate(bytes: rows * configuration.width * float)
    let columns = max(configuration.vocabularySize, configuration.width)
    logits = try context.allocate(bytes: rows * columns * float)
    result = try context.allocatePinned(bytes: rows * columns * float)
    gather = try device.operators(.rows, type: .float32, storedType: .float32)
  }
}

extension CUDAPass {
  /// Rows whose results are computed together.
  private static let outputRows = 64

  /// Room for the results of at most `rows` rows, or as many as go together.
  private func output(rows count: Int) throws -> CUDAOutput {
    let needed = max(min(count, capacity, Self.outputRows), 1)
    if let output, output.rows >= needed { return output }
    output = nil
    let made = try CUDAOutput(rows: needed, configuration, on: device)
    output = made
    return made
  }

  /// Asks for the normalised vectors of some rows, which replace the first ones of `normed`.
  private func gather(_ rows: ArraySlice<Int>, _ norm: Norm, _ output: CUDAOutput) throws
    -> CUDAMatrix
  {
    let ids = output.chosen.bytes.bindMemory(to: Int32.self)
    for (i, row) in rows.enumerated() { ids[i] = Int32(row) }
    let bytes = rows.count * MemoryLayout<Int32>.stride
    try device.stream.copy(
      UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(output.chosen.bytes)[..<bytes]),
      to: output.ids.address)
    let hidden = matrix(.hidden)
    let vectors = CUDAMatrix(output.vectors.address, rows: rows.count, columns: hidden.columns)
    try output.gather.launch(on: device.stream) {
      $0.gather(hidden.base, tableRows: hidden.rows, ids: output.ids.address, into: vectors)
    }
    var normed = matrix(.normed)
    normed.rows = rows.count
    try hiddenNorm.launch(on: device.stream) {
      $0.rmsNorm(
        vectors, weight: weight(norm), epsilon: configuration.normEpsilon, into: normed)
    }
    return normed
  }

  /// Waits for parts of a result, `bytes` of each.
  private func receive(_ addresses: [CUDAAddress], bytes: Int, _ output: CUDAOutput) throws {
    for (i, address) in addresses.enumerated() {
      try device.stream.copy(
        address,
        to: UnsafeMutableRawBufferPointer(
          rebasing: output.result.bytes[i * bytes..<(i + 1) * bytes]))
    }
    try device.stream.synchronize()
  }

  func hidden(of rows: ArraySlice<Int>, normalisedBy norm: Norm) throws -> MatrixView {
    let output = try output(rows: rows.count)
    let width = configuration.width
    let floats = AlignedBuffer(byteCount: max(rows.count * width, 1) * MemoryLayout<Float>.stride)
    vectors = floats
    let all = floats.elements(Float.self)
    for start in stride(from: rows.startIndex, to: rows.endIndex, by: output.rows) {
      let block = rows[start..<min(start + output.rows, rows.endIndex)]
      let normed = try gather(block, norm, output)
      let count = block.count * width
      try receive([normed.base], bytes: count * weights.type.blockBytes, output)
      let first = (start - rows.startIndex) * width
      switch weights.type {
      case .bfloat16:
        let found = output.result.bytes.bindMemory(to: BFloat16.self)
        for i in 0..<count { all[first + i] = Float(found[i]) }
      default:
        let found = output.result.bytes.bindMemory(to: Float.self)
        for i in 0..<count { all[first + i] = found[i] }
      }
    }
    guard let base = all.baseAddress else {
      throw ModelError.memory(bytes: floats.bytes.count, purpose: "hidden vectors")
    }
    return MatrixView(base, rows: rows.count, columns: width)
  }

  func logits(
    of rows: [Int], normalisedBy norm: Norm, _ output: Linear,
    _ body: (_ places: Range<Int>, _ logits: MatrixView) throws -> Void
  ) throws {
    let layer = weights.linears[output.index].weights
    let output = try self.output(rows: rows.count)
    let columns = configuration.vocabularySize
    for start in stride(from: 0, to: rows.count, by: output.rows) {
      let places = start..<min(start + output.rows, rows.count)
      if let draws, self.places.areRows {
        // They have been there since the step's tokens were drawn.
        try receive(
          rows[places].map { draws.logits(of: $0) },
          bytes: columns * MemoryLayout<Float>.stride, output)
      } else {
        let normed = try gather(rows[places], norm, output)
        let logits = CUDAMatrix(output.logits.address, rows: places.count, columns: columns)
        try layer.multiply(normed, into: logits, outputType: .float32)
        try receive(
          [logits.base], bytes: places.count * columns * MemoryLayout<Float>.stride, output)
      }
      guard let base = output.result.bytes.bindMemory(to: Float.self).baseAddress else { return }
      try body(places, MatrixView(base, rows: places.count, columns: columns))
    }
  }
}
