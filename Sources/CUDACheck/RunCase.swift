import Attention
import Devices
import StubCUDA
import Tensors

/// The way of a batch through ``CUDAAttention``: planned, sent in one copy to a driver without a GPU,
/// whose memory is this process's, and run by launches that were captured once, which the emulator does.
struct RunCase {
  let name: String
  let architecture: (Int32, Int32)
  let tile: CUDAAttentionKernel.Tile?
  let group: Int
  var dimension = 64
  var queryType = ElementType.bfloat16
  var variant = AttentionVariant.causal
  /// Batches that follow each other, within the same bounds.
  var batches: [[(query: Int, kv: Int)]]

  static var all: [RunCase] {
    let prompts: [[(query: Int, kv: Int)]] = [
      [(5, 7), (1, 130), (1, 0)], [(1, 300), (40, 40), (3, 3), (1, 777)], [(2, 2)],
    ]
    let decode: [[(query: Int, kv: Int)]] = [[(1, 7), (1, 777)], [(1, 8), (1, 778), (1, 1)]]
    return [
      RunCase(
        name: "run-cores", architecture: (8, 0), tile: .cores, group: 3, queryType: .float32,
        batches: prompts),
      RunCase(
        name: "run-decode", architecture: (8, 9), tile: nil, group: 4, dimension: 128,
        variant: .causal.combined(with: .sink(logits: (0..<8).map { Float($0) - 4 })),
        batches: decode),
      RunCase(
        name: "run-tensor", architecture: (8, 6), tile: .tensor(rows: 32), group: 3,
        variant: .causal.combined(with: .slidingWindow(left: 100)), batches: prompts),
      RunCase(
        name: "run-tma", architecture: (9, 0), tile: nil, group: 5, batches: prompts),
    ]
  }

  /// The kernel that the driver's launches run.
  private final class Runner {
    var program: Emulator.Program?
    var failure: (any Error)?
    var launches = 0
    /// The arguments, and two tensor maps of warp groups.
    var sizes: [Int] = []

    func takeLaunches() {
      stub_cuda_declare("attention", sizes.map { Int32($0) }, Int32(sizes.count))
      stub_cuda_on_launch(
        { context, name, arguments, blocks, _, _ in
          guard let context, let name else { return }
          let runner = Unmanaged<Runner>.fromOpaque(context).takeUnretainedValue()
          runner.launches += 1
          do {
            try runner.program?.run(
              String(cString: name), arguments, sizes: runner.sizes, blocks: Int(blocks))
          } catch { runner.failure = error }
        }, Unmanaged.passUnretained(self).toOpaque())
    }
  }

  /// A layer's tensors, at the same places for all batches, in floats of the cases' types.
  private struct Layer {
    let queries, keys, values, output, lse, scales: CUDABuffer
    let rows, heads, dimension: Int

    init(_ context: CUDAContext, rows: Int, heads: Int, dimension: Int) throws {
      (self.rows, self.heads, self.dimension) = (rows, heads, dimension)
      queries = try context.allocate(bytes: rows * heads * dimension * 4)
      output = try context.allocate(bytes: rows * heads * dimension * 4)
      lse = try context.allocate(bytes: rows * heads * 4)
      keys = try context.allocate(bytes: RunCase.pages * 16 * 2 * dimension * 2)
      values = try context.allocate(bytes: RunCase.pages * 16 * 2 * dimension * 2)
      scales = try context.allocate(bytes: 8)
    }

    func matrix(_ buffer: CUDABuffer) -> CUDAMatrix {
      CUDAMatrix(buffer.address, rows: rows, columns: heads * dimension)
    }

    var cache: CUDAPagedKV {
      func pages(_ buffer: CUDABuffer) -> CUDAOperators.Pages {
        CUDAOperators.Pages(
          buffer.address, page: 16 * 2 * dimension, head: dimension, token: 2 * dimension,
          scales: scales.address)
      }
      return CUDAPagedKV(keys: pages(keys), values: pages(values), pageCount: RunCase.pages)
    }
  }

  private static let pages = 100

  /// The largest error over all batches, as `KernelCase.check` measures it; infinite where the
  /// captured launch did not run once for each.
  func check(_ emulator: Emulator, _ host: CPUDevice) throws -> Double {
    stub_cuda_begin()
    defer { stub_cuda_end() }
    stub_cuda_reset(13000, architecture.0, architecture.1, 1 << 30)
    let runner = Runner()
    let context = try CUDAContext(CUDADriver(DynamicLibrary(name: "stub") { stub_cuda_symbol($0) }))
    let shape = AttentionShape(queryHeads: 2 * group, kvHeads: 2, headDimension: dimension)
    let rows = batches.map { $0.reduce(0) { $0 + $1.query } }.max() ?? 0
    let attention = try CUDAAttention(
      context, host: host, shape: shape, variant: variant, queryType: queryType, tile: tile,
      bounds: AttentionBounds(
        requests: batches.map(\.count).max() ?? 0, queryRows: rows, pages: Self.pages)
    ) { source throws(CUDAFailure) in
      do { runner.program = try emulator.load(source) } catch { runner.failure = error }
      return try CUDAModule(context, source, code: [0])
    }
    runner.sizes = [MemoryLayout<CUDAAttentionArguments>.size]
    if case .warpGroups = attention.tile { runner.sizes += [128, 128] }
    runner.takeLaunches()

    let stream = try CUDAStream(context)
    let layer = try Layer(context, rows: rows, heads: shape.queryHeads, dimension: dimension)
    try [Float(1), 1].withUnsafeBytes { try stream.copy($0, to: layer.scales.address) }
    try stream.synchronize()
    var graph: CUDAGraph?
    var worst = 0.0
    for lengths in batches {
      var scenario = KernelCase(
        name: name, shape: shape, variant: variant, lengths: lengths, queryType: queryType)
      scenario.workers = context.device.multiprocessors
      let material = try KernelCase.Material(scenario, host)
      for (from, to) in [
        (material.queries, layer.queries), (material.keys, layer.keys),
        (material.values, layer.values),
      ] {
        try stream.copy(UnsafeRawBufferPointer(from.bytes), to: to.address)
      }
      // The stub's memory is NaN where it is all ones.
      try stream.fill(layer.output.address, bytes: layer.output.byteCount, with: 0xff)
      try stream.fill(layer.lse.address, bytes: layer.lse.byteCount, with: 0xff)
      try attention.update(material.batch, on: stream)
      let captured =
        try graph
        ?? stream.capture { () throws(CUDAFailure) in
          do throws(CUDAAttention.Failure) {
            try attention.run(
              queries: layer.matrix(layer.queries), cache: layer.cache,
              output: layer.matrix(layer.output),
              lse: CUDALogSumExps(layer.lse.address, stride: shape.queryHeads), on: stream)
          } catch { runner.failure = error }
        }
      graph = captured
      try stream.launch(captured)
      let output = AlignedBuffer(byteCount: layer.output.byteCount)
      let lse = AlignedBuffer(byteCount: layer.lse.byteCount)
      try stream.copy(layer.output.address, to: output.bytes)
      try stream.copy(layer.lse.address, to: lse.bytes)
      try stream.synchronize()
      if let failure = runner.failure { throw failure }
      let count = material.batch.queries.total * shape.queryHeads
      let error = scenario.error(material, output, Array(lse.elements(Float.self)[..<count]))
      worst = max(worst, error.output, error.lse)
    }
    return runner.launches == batches.count ? worst : .infinity
  }
}
