import Attention
import Devices
import Tensors

extension KernelCase {
  /// The largest errors of outputs and log-sum-exps that one launch on a device leaves.
  func check(_ device: CheckDevice) throws -> (output: Double, lse: Double) {
    let material = try Material(self, device.host)
    let pages = lengths.reduce(0) { $0 + ($1.kv + pageSize - 1) / pageSize }
    let attention = try CUDAAttention(
      device.context, host: device.host, shape: shape, variant: variant, queryType: queryType,
      storedType: storedType, tile: tile, workers: workers,
      bounds: AttentionBounds(
        requests: lengths.count, queryRows: material.batch.queries.total, pages: pages,
        pageSize: pageSize, blockRows: reads == nil ? 0 : lengths.count),
      composition: shared == 0
        ? .automatic : .explicit([SharedRun(requests: Array(lengths.indices), keys: 0..<shared)]),
      dataBytes: 1 << 20
    ) { source throws(CUDAFailure) in try device.module(source) }
    let layer = try Layer(
      device, self, rows: material.batch.queries.total, pageCount: material.pageCount)
    try layer.fill(material, on: device.stream)
    try attention.update(
      material.batch, tensors: tensors?(material.batch), on: device.stream)
    try layer.run(attention, on: device.stream)
    return try layer.error(material, device)
  }

  /// A layer's tensors on a device, at the same places for all batches.
  struct Layer {
    private let scenario: KernelCase
    private let queries, keys, values, output, lse, keyScales, valueScales: CUDABuffer
    private let rows, pageCount: Int

    init(_ device: CheckDevice, _ scenario: KernelCase, rows: Int, pageCount: Int) throws {
      let shape = scenario.shape
      func allocate(_ elements: Int, _ type: ElementType) throws -> CUDABuffer {
        try device.context.allocate(bytes: elements * type.blockBytes)
      }
      (self.scenario, self.rows, self.pageCount) = (scenario, rows, pageCount)
      let (type, stored) = (scenario.queryType, scenario.storedType)
      let slots = pageCount * scenario.pageSize * shape.kvHeads
      queries = try allocate(rows * shape.queryHeads * shape.headDimension, type)
      output = try allocate(rows * shape.queryHeads * shape.valueDimension, type)
      lse = try allocate(rows * shape.queryHeads, .float32)
      keys = try allocate(slots * shape.headDimension, stored)
      values = try allocate(slots * shape.valueDimension, stored)
      keyScales = try allocate(shape.kvHeads, .float32)
      valueScales = try allocate(shape.kvHeads, .float32)
    }

    /// Sends a batch's tensors; what is to be written begins as NaN.
    func fill(_ material: Material, on stream: CUDAStream) throws {
      for (from, to) in [
        (material.queries, queries), (material.keys, keys), (material.values, values),
      ] {
        try stream.copy(
          UnsafeRawBufferPointer(rebasing: from.bytes.prefix(to.byteCount)), to: to.address)
      }
      for (from, to) in [
        (material.keyScales, keyScales), (material.valueScales, valueScales),
      ] {
        try from.withUnsafeBytes { try stream.copy($0, to: to.address) }
        // The list is gone when this function returns.
        try stream.synchronize()
      }
      // A float whose bits are all ones is NaN in every type.
      try stream.fill(output.address, bytes: output.byteCount, with: 0xff)
      try stream.fill(lse.address, bytes: lse.byteCount, with: 0xff)
    }

    func run(_ attention: CUDAAttention, on stream: CUDAStream) throws(CUDAAttention.Failure) {
      let shape = scenario.shape
      func matrix(_ buffer: CUDABuffer, _ dimension: Int) -> CUDAMatrix {
        CUDAMatrix(buffer.address, rows: rows, columns: shape.queryHeads * dimension)
      }
      func pages(_ buffer: CUDABuffer, _ dimension: Int, _ scales: CUDABuffer)
        -> CUDAOperators.Pages
      {
        let token = shape.kvHeads * dimension
        return CUDAOperators.Pages(
          buffer.address, page: scenario.pageSize * token, head: dimension, token: token,
          scales: scales.address)
      }
      try attention.run(
        queries: matrix(queries, shape.headDimension),
        cache: CUDAPagedKV(
          keys: pages(keys, shape.headDimension, keyScales),
          values: pages(values, shape.valueDimension, valueScales), pageCount: pageCount),
        output: matrix(output, shape.valueDimension),
        lse: scenario.variant.usesSoftmax
          ? CUDALogSumExps(lse.address, stride: shape.queryHeads) : nil, on: stream)
    }

    /// How far the outputs of the work so far are from the oracle's.
    func error(_ material: Material, _ device: CheckDevice) throws -> (output: Double, lse: Double)
    {
      let found = AlignedBuffer(byteCount: output.byteCount)
      let sums = AlignedBuffer(byteCount: lse.byteCount)
      try device.stream.copy(output.address, to: found.bytes)
      try device.stream.copy(lse.address, to: sums.bytes)
      try device.synchronize()
      return material.error(found, Array(sums.elements(Float.self)))
    }
  }
}

extension KernelCase.Material {
  /// How far outputs and log-sum-exps are from the oracle's.
  func error(_ output: AlignedBuffer, _ lse: [Float]) -> (output: Double, lse: Double) {
    let (shape, variant) = (scenario.shape, scenario.variant)
    let oracle = DenseAttention(
      shape: shape, variant: variant, tensors: scenario.tensors?(batch) ?? VariantTensors(),
      lengths: scenario.lengths)
    var worst = (output: 0.0, lse: 0.0)
    for (r, length) in scenario.lengths.enumerated() {
      let request = request(r)
      for i in 0..<length.query {
        // The oracle is slow: long requests' rows in part.
        if length.query * length.kv > 4000 && i % 13 != 0 && i != length.query - 1 { continue }
        for head in 0..<shape.queryHeads {
          let (expected, sum) = oracle.row(i, head: head, of: request)
          let row = (batch.queries[r].lowerBound + i) * shape.queryHeads + head
          let found = (0..<shape.valueDimension).map {
            Double(scenario.queryType.load(row * shape.valueDimension + $0, output))
          }
          let size = max(expected.map(abs).max() ?? 0, 0.05)
          let isEmpty = sum == -.infinity && variant.usesSoftmax
          for (x, y) in zip(found, expected) {
            let off = isEmpty && x != y ? .infinity : abs(x - y) / size
            worst.output = max(worst.output, off.isNaN ? .infinity : off)
          }
          if !variant.usesSoftmax { continue }
          let difference =
            Double(lse[row]) == sum ? 0 : abs(Double(lse[row]) - sum) / (1 + abs(sum))
          worst.lse = max(worst.lse, difference.isNaN ? .infinity : difference)
        }
      }
    }
    return worst
  }
}
