import Attention
import Devices
import Tensors

/// Batches that follow each other within the same bounds: each planned, sent in one copy, and run by a
/// launch that was captured once.
struct RunCase {
  /// All but the lengths.
  let scenario: KernelCase
  let tile: CUDAAttentionKernel.Tile?
  let batches: [[(query: Int, kv: Int)]]

  private init(
    _ name: String, _ architecture: CUDAArchitecture, _ tile: CUDAAttentionKernel.Tile?, group: Int,
    dimension: Int = 64, queryType: ElementType = .bfloat16, variant: AttentionVariant = .causal,
    _ batches: [[(query: Int, kv: Int)]]
  ) {
    scenario = KernelCase(
      name: name,
      shape: AttentionShape(queryHeads: 2 * group, kvHeads: 2, headDimension: dimension),
      variant: variant, lengths: [], queryType: queryType, architecture: architecture)
    (self.tile, self.batches) = (tile, batches)
  }

  static var all: [RunCase] {
    let prompts: [[(query: Int, kv: Int)]] = [
      [(5, 7), (1, 130), (1, 0)], [(1, 300), (40, 40), (3, 3), (1, 777)], [(2, 2)],
    ]
    let decode: [[(query: Int, kv: Int)]] = [[(1, 7), (1, 777)], [(1, 8), (1, 778), (1, 1)]]
    return [
      RunCase("run-cores", .sm80, .cores, group: 3, queryType: .float32, prompts),
      RunCase(
        "run-decode", .sm89, nil, group: 4, dimension: 128,
        variant: .causal.combined(with: .sink(logits: (0..<8).map { Float($0) - 4 })), decode),
      RunCase(
        "run-tensor", .sm86, .tensor(rows: 32), group: 3,
        variant: .causal.combined(with: .slidingWindow(left: 100)), prompts),
      RunCase("run-tma", .sm90a, nil, group: 5, prompts),
    ]
  }

  private static let pages = 100

  /// The largest error over all batches; infinite where a replay left outputs as they were, since these
  /// begin as NaN.
  func check(_ device: CheckDevice) throws -> Double {
    let rows = batches.map { $0.reduce(0) { $0 + $1.query } }.max() ?? 0
    let attention = try CUDAAttention(
      device.context, host: device.host, shape: scenario.shape, variant: scenario.variant,
      queryType: scenario.queryType, tile: tile,
      bounds: AttentionBounds(
        requests: batches.map(\.count).max() ?? 0, queryRows: rows, pages: Self.pages)
    ) { source throws(CUDAFailure) in try device.module(source) }
    let (stream, context) = (device.stream, device.context)
    let layer = try KernelCase.Layer(device, scenario, rows: rows, pageCount: Self.pages)
    var graph: CUDAGraph?
    var worst = 0.0
    for lengths in batches {
      var scenario = scenario
      scenario.lengths = lengths
      scenario.workers = context.device.multiprocessors
      let material = try KernelCase.Material(scenario, device.host)
      try layer.fill(material, on: stream)
      try attention.update(material.batch, on: stream)
      var failure: CUDAAttention.Failure?
      let captured =
        try graph
        ?? stream.capture { () throws(CUDAFailure) in
          do throws(CUDAAttention.Failure) {
            try layer.run(attention, on: stream)
          } catch { failure = error }
        }
      if let failure { throw failure }
      graph = captured
      try stream.launch(captured)
      let error = try layer.error(material, device)
      worst = max(worst, error.output, error.lse)
    }
    return worst
  }
}
