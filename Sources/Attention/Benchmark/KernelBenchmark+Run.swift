public import Devices
internal import Tensors

extension KernelBenchmark {
  /// Why a benchmark could not be set up.
  public struct Failure: Error, CustomStringConvertible {
    /// What went wrong.
    public let description: String
  }

  /// Measures on a device.
  public func run(on device: CPUDevice, probes: Probes) throws(Failure) -> Result {
    let setup: BenchmarkSetup
    do {
      setup = try BenchmarkSetup(self, device)
      try setup.run()
    } catch {
      throw Failure(description: "\(phase.rawValue) benchmark: \(error)")
    }
    var seconds: [Double] = []
    var plans: [Double] = []
    var probed: [Double] = []
    var ratios: [Double] = []
    var roofs: [Double] = []
    for _ in 0..<max(rounds, 1) {
      let read = probes.readBandwidth()
      let multiply = probes.multiplyAddPeak(device.roundsProducts(of: elementType.stored))
      let time = Self.measure { try? setup.run() }
      plans.append(Self.measure { try? setup.plan.update(setup.batch) })
      let rate = phase == .decode ? Double(setup.bytes) / time : setup.operations / time
      let best = phase == .decode ? read : multiply
      seconds.append(time)
      probed.append(best)
      ratios.append(rate / best)
      roofs.append(max(Double(setup.bytes) / read, setup.operations / multiply) / time)
    }
    let loads = (0..<setup.plan.workers).map { Double(setup.plan.schedule.load(of: $0)) }
    let time = seconds.median
    return Result(
      name: name, elementType: elementType, pageSize: pageSize, threads: device.pool.count,
      instructionSet: device.instructionSet.rawValue, seconds: time,
      planSeconds: plans.median, bytes: setup.bytes, operations: setup.operations,
      gigabytesPerSecond: Double(setup.bytes) / time / 1e9,
      gigaflopsPerSecond: setup.operations / time / 1e9, probe: probed.median / 1e9,
      ratioToProbe: ratios.median, ratioToRoof: roofs.median,
      imbalance: (loads.max() ?? 0) / max(loads.reduce(0, +) / Double(loads.count), 1))
  }

  /// The seconds of one call of something that may fail.
  package static func seconds(_ body: () throws -> Void) throws -> Double {
    try body()
    return measure { try? body() }
  }

  /// The seconds of one call, from enough calls to fill some milliseconds.
  static func measure(_ body: () -> Void) -> Double {
    let clock = ContinuousClock()
    var calls = 1
    while true {
      let elapsed = clock.measure { for _ in 0..<calls { body() } }
      if elapsed > .milliseconds(20) || calls >= 1 << 12 {
        return elapsed / .seconds(1) / Double(calls)
      }
      calls *= 2
    }
  }

  /// The requests' lengths; their sum is about `batch · meanLength`.
  package var requestLengths: [Int] {
    let total = Double(batch * meanLength)
    let weights: [Double] = (0..<batch).map { i in
      switch lengths {
      case .constant: 1
      case .uniform: (Double(i) + 0.5) * 2 / Double(batch)
      case .zipf: 1 / Double(i + 1)
      }
    }
    let sum = weights.reduce(0, +)
    return weights.map { max(Int(total * $0 / sum), 1) }
  }
}

/// Tensors for a benchmark: pages in scattered order, arbitrary finite contents.
final class BenchmarkSetup {
  let plan: AttentionPlan
  let batch: AttentionBatch
  let bytes: Int
  let operations: Double
  let cache: PagedKVCache
  private let queries: AlignedBuffer
  private let output: AlignedBuffer
  private let queryView: MatrixView
  private let outputView: MatrixView

  /// Scattered pages of the benchmark's lengths.
  convenience init(_ benchmark: KernelBenchmark, _ device: CPUDevice) throws {
    let lengths = benchmark.requestLengths
    let pages = lengths.map { ($0 + benchmark.pageSize - 1) / benchmark.pageSize }
    var pool = Array(0..<pages.reduce(0, +))
    var random = SplitMix(state: 1)
    pool.shuffle(using: &random)
    var requests: [(pages: [Int], kvLength: Int)] = []
    for (count, length) in zip(pages, lengths) {
      requests.append((Array(pool.suffix(count)), length))
      pool.removeLast(count)
    }
    let table = try PageTable(requests: requests, pageSize: benchmark.pageSize)
    let queryLengths = benchmark.phase == .decode ? lengths.map { _ in 1 } : lengths
    try self.init(
      AttentionBatch(queries: RaggedIndex(lengths: queryLengths), pages: table),
      shape: AttentionShape(
        queryHeads: benchmark.kvHeads * benchmark.groupSize, kvHeads: benchmark.kvHeads,
        headDimension: benchmark.headDimension), type: benchmark.elementType.stored,
      window: benchmark.window, isBatchInvariant: benchmark.isBatchInvariant, device)
  }

  /// - Parameters:
  ///   - batch: The requests; the pool has the pages that they name.
  ///   - tensors: The data of the variant's tensors.
  ///   - window: The last keys that a query sees, of those that the variant leaves.
  init(
    _ batch: AttentionBatch, shape: AttentionShape, type: ElementType = .bfloat16,
    variant: AttentionVariant = .causal, tensors: VariantTensors? = nil,
    window: Int? = nil, isBatchInvariant: Bool = false, _ device: CPUDevice
  ) throws {
    self.batch = batch
    let pages = batch.pages
    cache = try PagedKVCache(
      pageCount: Int(pages.indices.max() ?? 0) + 1, pageSize: pages.pageSize,
      kvHeads: shape.kvHeads, headDimension: shape.headDimension, elementType: type)
    plan = try AttentionPlan(
      device: device, shape: shape,
      variant: window.map { variant.combined(with: .slidingWindow(left: $0 - 1)) } ?? variant,
      batch: batch, tensors: tensors,
      isBatchInvariant: isBatchInvariant)
    let tokens = pages.kvLengths.reduce(0) { $0 + Int($1) }
    bytes = 2 * tokens * shape.kvHeads * shape.headDimension * type.blockBytes
    let scores = (0..<batch.requestCount).reduce(0.0) { sum, r in
      let (new, all) = (Double(batch.queries[r].count), Double(pages.kvLengths[r]))
      // Every query sees one key more than the one before, up to the window.
      let most = min(all, Double(window ?? .max))
      let growing = min(max(most - (all - new), 0), new)
      return sum + growing * (all - new) + growing * (growing + 1) / 2 + (new - growing) * most
    }
    operations = scores * Double(4 * shape.queryHeads * shape.headDimension)
    let columns = shape.queryHeads * shape.headDimension
    queries = AlignedBuffer(byteCount: batch.queries.total * columns * 4)
    output = AlignedBuffer(byteCount: batch.queries.total * columns * 4)
    queryView = MatrixView(
      queries.elements(Float.self).baseAddress.unsafelyUnwrapped, rows: batch.queries.total,
      columns: columns)
    outputView = MatrixView(
      output.elements(Float.self).baseAddress.unsafelyUnwrapped, rows: batch.queries.total,
      columns: columns)
    var random = SplitMix(state: 2)
    for i in queries.elements(Float.self).indices {
      queries.elements(Float.self)[i] = Float(random.next() >> 40) * 0x1p-23 - 1
    }
    try fill(with: &random, device)
  }

  /// One row of random keys and values in every slot.
  private func fill(with random: inout SplitMix, _ device: CPUDevice) throws {
    let columns = cache.kvHeads * cache.headDimension
    let row = AlignedBuffer(byteCount: columns * 4)
    let floats = row.elements(Float.self)
    for i in floats.indices { floats[i] = Float(random.next() >> 40) * 0x1p-23 - 1 }
    let base = floats.baseAddress.unsafelyUnwrapped
    let slots = Array(0..<cache.pageCount * cache.pageSize)
    // A stride of 0: every slot gets the same row.
    let view = MatrixView(base, rows: slots.count, columns: columns, stride: 0)
    try cache.append(keys: view, values: view, slots: slots, on: device)
  }

  func run() throws { try run(plan) }

  /// Runs another plan of the same shape and batch.
  func run(_ plan: AttentionPlan) throws {
    try plan.run(queries: queryView, cache: cache, output: outputView)
  }
}

extension KernelBenchmark.ElementTypeName {
  var stored: ElementType {
    switch self {
    case .float32: .float32
    case .float16: .float16
    case .bfloat16: .bfloat16
    case .float8E4M3: .float8E4M3
    case .float8E5M2: .float8E5M2
    case .int8: .int8
    }
  }
}
