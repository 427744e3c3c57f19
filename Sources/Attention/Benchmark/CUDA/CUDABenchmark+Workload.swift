internal import Devices
internal import Foundation
internal import Tensors

extension CUDABenchmark {
  /// Numbers that device and host both know without either sending them all: a short list, over and over.
  final class Pattern {
    private let type: ElementType
    private let list: AlignedBuffer
    private let copy: CUDABuffer
    private let stream: CUDAStream
    /// A multiple of 64, so that copies stay aligned, and of no power of two that rows have.
    private static let count = 64 * 16_411

    /// Numbers of magnitude up to 1 in bf16, or 8-bit floats from 1/8 to 2.
    init(_ benchmark: CUDABenchmark, _ type: ElementType) throws {
      (self.type, stream) = (type, benchmark.stream)
      list = AlignedBuffer(byteCount: Self.count * type.blockBytes)
      var random = SplitMix(state: 1)
      for i in 0..<Self.count {
        let bits = random.next()
        if type == .bfloat16 {
          list.elements(BFloat16.self)[i] = BFloat16(Float(bits >> 40) * 0x1p-23 - 1)
        } else {
          list.elements(UInt8.self)[i] = UInt8(bits >> 56 & 0x9f) | 0x20
        }
      }
      copy = try benchmark.context.allocate(bytes: list.bytes.count)
      try stream.copy(UnsafeRawBufferPointer(list.bytes), to: copy.address)
      try stream.synchronize()
    }

    /// Fills memory: element i is number i + offset.
    ///
    /// - Parameter offset: A multiple of 64.
    func fill(_ buffer: CUDABuffer, elements: Int, offset: Int) throws {
      var (done, from) = (0, offset % Self.count)
      while done < elements {
        let some = min(elements - done, Self.count - from)
        let size = type.blockBytes
        try stream.copy(
          copy.address.advanced(by: from * size), to: buffer.address.advanced(by: done * size),
          bytes: some * size)
        done += some
        from = 0
      }
      try stream.synchronize()
    }

    /// Number i.
    subscript(i: Int) -> Double {
      if type == .bfloat16 {
        return Double(Float(list.elements(BFloat16.self)[i % Self.count]))
      }
      let code = list.elements(UInt8.self)[i % Self.count]
      let magnitude = (8 + Double(code & 7)) * pow(2, Double(code >> 3 & 15) - 10)
      return code & 0x80 == 0 ? magnitude : -magnitude
    }
  }

  /// A batch with its tensors on the device, for several layers.
  final class Workload {
    let work: WorkloadBenchmark
    let batch: AttentionBatch
    let attention: CUDAAttention
    /// Bytes of keys and values that a layer's requests hold, shared ones for each of them.
    let bytes: Double
    /// 4·D operations for each score below the diagonal.
    let operations: Double
    let layers: Int
    private let benchmark: CUDABenchmark
    private let make: (@escaping Loader) throws -> CUDAAttention
    private let isLatent: Bool
    private let patterns: (queries: Pattern, stored: Pattern)
    private let queries, output, scales: CUDABuffer
    private var caches: [CUDAPagedKV] = []
    private var memory: [CUDABuffer] = []
    private let valueOffset = 64 * 1_009

    init(
      _ benchmark: CUDABenchmark, _ work: WorkloadBenchmark, tile: CUDAAttentionKernel.Tile?,
      stored: ElementType = .bfloat16, composition: Composition = .automatic
    ) throws {
      (self.benchmark, self.work) = (benchmark, work)
      let (shape, context) = (work.shape, benchmark.context)
      let batch = try work.batch()
      self.batch = batch
      isLatent = shape.headDimension != shape.valueDimension
      let pages = (0..<batch.requestCount).reduce(0) {
        $0 + (Int(batch.pages.kvLengths[$1]) + work.pageSize - 1) / work.pageSize
      }
      make = { module in
        try CUDAAttention(
          context, host: benchmark.host, shape: shape, variant: work.variant, storedType: stored,
          tile: tile,
          bounds: AttentionBounds(
            requests: work.kvLengths.count, queryRows: work.queryLengths.reduce(0, +), pages: pages,
            pageSize: work.pageSize), composition: composition, module: module)
      }
      attention = try make(benchmark.module)
      let token = shape.kvHeads * shape.headDimension
      let width = isLatent ? token : token + shape.kvHeads * shape.valueDimension
      bytes = Double(work.kvLengths.reduce(0, +) * width * stored.blockBytes)
      operations = zip(work.queryLengths, work.kvLengths).reduce(0) { sum, length in
        let scores = Double(length.0) * (Double(length.1) - Double(length.0 - 1) / 2)
        return sum + 2 * Double(shape.headDimension + shape.valueDimension)
          * Double(shape.queryHeads) * scores
      }
      let common = work.prefix / work.pageSize
      let pageCount = work.kvLengths.reduce(common) {
        $0 + ($1 - common * work.pageSize + work.pageSize - 1) / work.pageSize
      }
      let pool = pageCount * work.pageSize
      layers = max(
        min(benchmark.sizes.workingSet / max(pool * width * stored.blockBytes, 1) + 1, 64), 1)
      let same = try Pattern(benchmark, .bfloat16)
      patterns = (same, stored == .bfloat16 ? same : try Pattern(benchmark, stored))
      let rows = batch.queries.total * shape.queryHeads
      queries = try context.allocate(bytes: rows * shape.headDimension * 2)
      output = try context.allocate(bytes: rows * shape.valueDimension * 2)
      scales = try context.allocate(bytes: shape.kvHeads * 4)
      try patterns.queries.fill(queries, elements: rows * shape.headDimension, offset: 0)
      let stream = benchmark.stream
      try [Float](repeating: 1, count: shape.kvHeads).withUnsafeBytes {
        try stream.copy($0, to: scales.address)
        try stream.synchronize()
      }
      for layer in 0..<layers {
        func pages(_ offset: Int) throws -> CUDAOperators.Pages {
          let buffer = try context.allocate(bytes: pool * token * stored.blockBytes)
          memory.append(buffer)
          try patterns.stored.fill(buffer, elements: pool * token, offset: offset)
          return CUDAOperators.Pages(
            buffer.address, page: work.pageSize * token, head: shape.headDimension, token: token,
            scales: scales.address)
        }
        let keys = try pages(layer * 64 * 101)
        caches.append(
          CUDAPagedKV(
            keys: keys, values: isLatent ? keys : try pages(valueOffset + layer * 64 * 101),
            pageCount: pageCount))
      }
      try attention.update(batch, on: stream)
    }

    /// Seconds from nothing to a first result with a loader; nil where that has no compiler.
    func start(_ loader: @escaping Loader) throws -> Double? {
      let clock = ContinuousClock()
      let began = clock.now
      do {
        let attention = try make(loader)
        try attention.update(batch, on: benchmark.stream)
        try run(attention, 0)
        try benchmark.stream.synchronize()
      } catch CUDAAttention.Failure.device(.noCompiler) { return nil }
      return began.duration(to: clock.now) / .seconds(1)
    }

    private func run(_ attention: CUDAAttention, _ layer: Int) throws(CUDAAttention.Failure) {
      let (shape, rows) = (work.shape, batch.queries.total)
      try attention.run(
        queries: CUDAMatrix(
          queries.address, rows: rows, columns: shape.queryHeads * shape.headDimension),
        cache: caches[layer],
        output: CUDAMatrix(
          output.address, rows: rows, columns: shape.queryHeads * shape.valueDimension),
        on: benchmark.stream)
    }

    /// Median seconds of a layer, of a graph of all of them.
    func seconds() throws -> Double {
      var failure: CUDAAttention.Failure?
      let graph = try benchmark.stream.capture { () throws(CUDAFailure) in
        do throws(CUDAAttention.Failure) {
          for layer in 0..<layers { try run(attention, layer) }
        } catch { failure = error }
      }
      if let failure { throw failure }
      return try benchmark.seconds { try benchmark.stream.launch(graph) } / Double(layers)
    }

    /// The largest error of a few rows of the last layer, which begin as NaN.
    func error() throws -> Double {
      let (shape, stream) = (work.shape, benchmark.stream)
      try stream.fill(output.address, bytes: output.byteCount, with: 0xff)
      try run(attention, layers - 1)
      let found = AlignedBuffer(byteCount: shape.valueDimension * 2)
      var worst = 0.0
      for r in Set([0, batch.requestCount / 2, batch.requestCount - 1]) {
        let length = work.queryLengths[r]
        for i in Set([0, length / 2, length - 1]) where length > 0 {
          let head = (r * 7 + i * 3) % shape.queryHeads
          let row = (batch.queries[r].lowerBound + i) * shape.queryHeads + head
          try stream.copy(
            output.address.advanced(by: row * shape.valueDimension * 2), to: found.bytes)
          try stream.synchronize()
          let wanted = reference(request: r, query: i, head: head, row: row)
          let size = wanted.map(abs).max() ?? 0
          for (x, y) in zip(found.elements(BFloat16.self), wanted) {
            let off = abs(Double(Float(x)) - y) / size
            worst = max(worst, off.isNaN ? .infinity : off)
          }
        }
      }
      return worst
    }

    /// Causal attention of one row in Double.
    private func reference(request r: Int, query i: Int, head: Int, row: Int) -> [Double] {
      let shape = work.shape
      let kvHead = head / shape.groupSize
      let offset = (layers - 1) * 64 * 101
      let last = work.kvLengths[r] - work.queryLengths[r] + i
      let scale = Double(work.variant.scale(for: shape))
      let query = (0..<shape.headDimension).map {
        patterns.queries[row * shape.headDimension + $0]
      }
      var (scores, slots) = ([Double](), [Int]())
      for position in 0...last {
        let slot = batch.pages.slot(of: position, in: r) ?? 0
        let start = (slot * shape.kvHeads + kvHead) * shape.headDimension
        slots.append(start)
        scores.append(
          scale * query.indices.reduce(0) { $0 + query[$1] * patterns.stored[start + $1 + offset] })
      }
      let top = scores.max() ?? 0
      let weights = scores.map { exp($0 - top) }
      let sum = weights.reduce(0, +)
      return (0..<shape.valueDimension).map { d in
        zip(weights, slots).reduce(0) { total, key in
          let place = key.1 + d + offset + (isLatent ? 0 : valueOffset)
          return total + key.0 * patterns.stored[place]
        } / sum
      }
    }
  }
}
