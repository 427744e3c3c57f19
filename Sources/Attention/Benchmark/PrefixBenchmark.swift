public import Devices
internal import Tensors

/// Decode of requests that begin with the same tokens: read together, found by the planner, against
/// every request for itself, in the same rounds.
public struct PrefixBenchmark: Sendable, Hashable {
  /// Tokens that all requests begin with.
  public var prefix = 8_192
  /// Tokens of its own that each request has.
  public var suffix = 128
  /// Requests.
  public var batch = 32
  /// Query heads for each key/value head.
  public var groupSize: Int
  /// Key/value heads.
  public var kvHeads = 8
  /// Elements of keys and values.
  public var headDimension = 128
  /// Tokens of a page.
  public var pageSize = 16
  /// Measurements, the median of which counts.
  public var rounds = 7

  /// A benchmark of DESIGN's sizes.
  public init(groupSize: Int) { self.groupSize = groupSize }

  /// What is shared, for a table's first column.
  public var name: String { "prefix \(prefix) x \(batch) g\(groupSize)" }

  /// The figures of one benchmark.
  public struct Result: Sendable, Codable {
    /// What is shared, for a table's first column.
    public var name: String
    /// Threads of the device.
    public var threads: Int
    /// The device's instruction set.
    public var instructionSet: String
    /// Median seconds of a run that reads the prefix once.
    public var composedSeconds: Double
    /// Median seconds of a run that reads every request for itself.
    public var singleSeconds: Double
    /// The median over rounds of single / composed.
    public var speedup: Double
    /// The speed-up if the composed run went at the machine's read bandwidth or multiply-add peak,
    /// whichever holds it up longer.
    public var possibleSpeedup: Double
    /// Median seconds of planning with composition.
    public var planSeconds: Double
    /// The keys that the planner found to be shared, of each request.
    public var sharedKeys: Int
  }

  /// Why a benchmark could not be set up.
  public struct Failure: Error, CustomStringConvertible {
    /// What went wrong.
    public let description: String
  }

  /// Measures on a device.
  public func run(on device: CPUDevice) throws(Failure) -> Result {
    do {
      return try measure(on: device)
    } catch {
      throw Failure(description: "prefix benchmark: \(error)")
    }
  }

  private func measure(on device: CPUDevice) throws -> Result {
    let shape = AttentionShape(
      queryHeads: kvHeads * groupSize, kvHeads: kvHeads, headDimension: headDimension)
    let (shared, own) = (
      (prefix + pageSize - 1) / pageSize, (suffix + pageSize - 1) / pageSize + 1
    )
    let requests = (0..<batch).map { r in
      (
        pages: Array(0..<shared) + (shared + r * own..<shared + (r + 1) * own),
        kvLength: shared * pageSize + suffix
      )
    }
    let table = try PageTable(requests: requests, pageSize: pageSize)
    let batch = try AttentionBatch(
      queries: RaggedIndex(lengths: requests.map { _ in 1 }), pages: table)
    let cache = try PagedKVCache(
      pageCount: shared + self.batch * own, pageSize: pageSize, kvHeads: kvHeads,
      headDimension: headDimension)
    var random = SplitMix(state: 1)
    func floats(_ count: Int) -> AlignedBuffer {
      let buffer = AlignedBuffer(byteCount: count * 4)
      for i in buffer.elements(Float.self).indices {
        buffer.elements(Float.self)[i] = Float(random.next() >> 40) * 0x1p-23 - 1
      }
      return buffer
    }
    func view(_ buffer: AlignedBuffer, _ rows: Int, _ columns: Int, stride: Int? = nil)
      -> MatrixView
    {
      MatrixView(
        buffer.elements(Float.self).baseAddress.unsafelyUnwrapped, rows: rows, columns: columns,
        stride: stride ?? columns)
    }
    let slots = Array(0..<cache.pageCount * pageSize)
    let row = floats(kvHeads * headDimension)
    let same = view(row, slots.count, kvHeads * headDimension, stride: 0)
    try cache.append(keys: same, values: same, slots: slots, on: device)
    let columns = shape.queryHeads * headDimension
    let (queries, output) = (floats(self.batch * columns), floats(self.batch * columns))
    let composed = try AttentionPlan(device: device, shape: shape, batch: batch)
    let single = try AttentionPlan(
      device: device, shape: shape, batch: batch, composition: .off)

    func seconds(_ plan: AttentionPlan) -> Double {
      KernelBenchmark.measure {
        try? plan.run(
          queries: view(queries, self.batch, columns), cache: cache,
          output: view(output, self.batch, columns))
      }
    }
    var (together, alone, ratios, plans): ([Double], [Double], [Double], [Double]) = (
      [], [], [], []
    )
    for _ in 0..<max(rounds, 1) {
      together.append(seconds(composed))
      alone.append(seconds(single))
      ratios.append((alone.last ?? 0) / (together.last ?? 1))
      plans.append(KernelBenchmark.measure { try? composed.update(batch) })
    }
    let keys = Double((shared + self.batch * own) * pageSize * kvHeads)
    let products = Double(self.batch * shape.queryHeads * (prefix + suffix))
    let peak = device.fmaPeak(pairs: device.roundsProducts(of: .bfloat16), repetitions: 5)
    let least = max(
      keys * Double(4 * headDimension) / device.readBandwidth(repetitions: 4),
      products * Double(4 * headDimension) / peak)
    return Result(
      name: name, threads: device.pool.count, instructionSet: device.instructionSet.rawValue,
      composedSeconds: together.median,
      singleSeconds: alone.median, speedup: ratios.median,
      possibleSpeedup: alone.median / least,
      planSeconds: plans.median,
      sharedKeys: composed.readTogether.map(\.keys.upperBound).max() ?? 0)
  }
}
