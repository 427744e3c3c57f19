public import Devices
internal import Tensors

/// A workload that other engines can be timed on too: what it is made of is part of its result.
///
/// The sets are those of FlashInfer's paper (arXiv 2501.01005: Fig. 8, lengths; Table 5, common
/// prefixes; Fig. 12, pages of one token; §4.3, StreamingLLM) and the variants that FlexAttention
/// (arXiv 2412.05496) compiles.
public struct WorkloadBenchmark: Sendable {
  /// Which table a workload belongs to.
  public enum Part: String, Sendable, CaseIterable, Codable {
    /// Decode and causal prefill of constant, uniform and skewed lengths.
    case lengths
    /// Kinds of attention in prefill.
    case variants
    /// Decode of requests with a common beginning.
    case prefixes
    /// Pages of one token beside pages of sixteen.
    case pages
    /// Decode over sinks and a window, keys rotated by their places in the cache.
    case streaming
  }

  /// The table it belongs to.
  public var part: Part
  /// What tells it from the others of its table.
  public var name: String
  /// New tokens of each request.
  public var queryLengths: [Int]
  /// Tokens with keys of each request.
  public var kvLengths: [Int]
  /// Tokens that all requests begin with.
  public var prefix = 0
  /// Tokens of a page.
  public var pageSize = 16
  /// The layer's sizes.
  public var shape = AttentionShape(queryHeads: 32, kvHeads: 8, headDimension: 128)
  /// The kind of attention.
  public var variant = AttentionVariant.causal
  /// Measurements, the median of which counts.
  public var rounds = 5

  /// The figures of one workload, and what it is made of.
  public struct Result: Sendable, Codable {
    /// The table it belongs to.
    public var part: Part
    /// What tells it from the others of its table.
    public var name: String
    /// The kind of attention.
    public var variant: String
    /// New tokens of each request.
    public var queryLengths: [Int]
    /// Tokens with keys of each request.
    public var kvLengths: [Int]
    /// Tokens that all requests begin with.
    public var prefix: Int
    /// Tokens of a page.
    public var pageSize: Int
    /// Query heads.
    public var queryHeads: Int
    /// Key/value heads.
    public var kvHeads: Int
    /// Elements of a head.
    public var headDimension: Int
    /// Threads of the device.
    public var threads: Int
    /// The device's instruction set.
    public var instructionSet: String
    /// Median seconds of a run.
    public var seconds: Double
    /// Bytes of keys and values of every request, over the seconds, in GB/s.
    public var gigabytesPerSecond: Double
    /// Operations of causal attention, 4·D for each score, over the seconds, in GFLOP/s.
    public var gigaflopsPerSecond: Double
  }

  /// Measures on a device; keys and values are bf16.
  public func run(on device: CPUDevice) throws(KernelBenchmark.Failure) -> Result {
    do {
      let setup = try BenchmarkSetup(
        batch(), shape: shape, variant: variant, tensors: tensors, device)
      let unfused = try name.hasPrefix("unfused") ? RotatedWindow(setup, kvLengths, device) : nil
      func once() throws {
        if let unfused { try unfused.run(setup) } else { try setup.run() }
      }
      try once()
      let seconds = (0..<max(rounds, 1)).map { _ in KernelBenchmark.measure { try? once() } }.median
      return Result(
        part: part, name: name, variant: variant.name, queryLengths: queryLengths,
        kvLengths: kvLengths, prefix: prefix, pageSize: pageSize, queryHeads: shape.queryHeads,
        kvHeads: shape.kvHeads, headDimension: shape.headDimension, threads: device.pool.count,
        instructionSet: device.instructionSet.rawValue, seconds: seconds,
        gigabytesPerSecond: Double(setup.bytes) / seconds / 1e9,
        gigaflopsPerSecond: setup.operations / seconds / 1e9)
    } catch {
      throw KernelBenchmark.Failure(description: "workload \(name): \(error)")
    }
  }

  /// The requests in scattered pages, the common ones first.
  func batch() throws -> AttentionBatch {
    let common = prefix / pageSize
    let own = kvLengths.map { ($0 - common * pageSize + pageSize - 1) / pageSize }
    var pool = Array(common..<common + own.reduce(0, +))
    var random = SplitMix(state: 1)
    pool.shuffle(using: &random)
    var requests: [(pages: [Int], kvLength: Int)] = []
    for (count, length) in zip(own, kvLengths) {
      requests.append((Array(0..<common) + pool.suffix(count), length))
      pool.removeLast(count)
    }
    return try AttentionBatch(
      queries: RaggedIndex(lengths: queryLengths),
      pages: PageTable(requests: requests, pageSize: pageSize))
  }

  /// Documents of 300 tokens, where the variant asks.
  private var tensors: VariantTensors? {
    guard variant.declarations.tensors.contains(where: { $0.name == "document" }) else {
      return nil
    }
    var tensors = VariantTensors()
    tensors["document"] = kvLengths.flatMap { length in (0..<length).map { Float($0 / 300) } }
    return tensors
  }
}

extension WorkloadBenchmark {
  /// Every workload.
  public static var all: [WorkloadBenchmark] { lengths + variants + prefixes + pages + streaming }

  private static let prefillShape = AttentionShape(queryHeads: 8, kvHeads: 2, headDimension: 128)

  /// The paper's Figure 8: 16 requests of 1,024 tokens; of 512 to 1,024; skewed with a mean of 1,024.
  private static var lengths: [WorkloadBenchmark] {
    var benchmark = KernelBenchmark(phase: .decode, lengths: .zipf, groupSize: 4)
    benchmark.meanLength = 1_024
    let spreads = [
      ("constant", [Int](repeating: 1_024, count: 16)),
      ("uniform", (0..<16).map { 512 + $0 * 512 / 15 }), ("skewed", benchmark.requestLengths),
    ]
    return spreads.map { name, lengths in
      WorkloadBenchmark(
        part: .lengths, name: "decode \(name)", queryLengths: lengths.map { _ in 1 },
        kvLengths: lengths)
    }
      + spreads.map { name, lengths in
        WorkloadBenchmark(
          part: .lengths, name: "prefill \(name)", queryLengths: lengths, kvLengths: lengths,
          shape: prefillShape)
      }
  }

  private static var variants: [WorkloadBenchmark] {
    let causal = AttentionVariant.causal
    let variants: [(String, AttentionVariant)] = [
      ("causal", causal), ("window 512", causal.combined(with: .slidingWindow(left: 511))),
      ("soft cap", causal.combined(with: .softCap(30))),
      ("ALiBi", causal.combined(with: .alibi(heads: prefillShape.queryHeads))),
      ("documents", causal.combined(with: .documentMask)),
    ]
    return variants.map { name, variant in
      WorkloadBenchmark(
        part: .variants, name: name, queryLengths: [2_048], kvLengths: [2_048],
        shape: prefillShape, variant: variant)
    }
  }

  /// The paper's Table 5, its kind: parallel generation, 128 tokens each after a common prompt.
  private static var prefixes: [WorkloadBenchmark] {
    [1_024, 8_192].flatMap { prefix in
      [4, 16, 64].map { batch in
        WorkloadBenchmark(
          part: .prefixes, name: "\(prefix) x \(batch)",
          queryLengths: [Int](repeating: 1, count: batch),
          kvLengths: [Int](repeating: prefix + 128, count: batch), prefix: prefix)
      }
    }
  }

  private static var pages: [WorkloadBenchmark] {
    [16, 1].flatMap { size in
      [
        WorkloadBenchmark(
          part: .pages, name: "decode, pages of \(size)",
          queryLengths: [Int](repeating: 1, count: 16),
          kvLengths: [Int](repeating: 1_024, count: 16), pageSize: size),
        WorkloadBenchmark(
          part: .pages, name: "prefill, pages of \(size)", queryLengths: [1_024, 1_024],
          kvLengths: [1_024, 1_024], pageSize: size, shape: prefillShape),
      ]
    }
  }

  /// 4 sinks and a window of 1,020 keys over 8,192 tokens.
  private static var streaming: [WorkloadBenchmark] {
    let ones = [Int](repeating: 1, count: 4)
    return [
      WorkloadBenchmark(
        part: .streaming, name: "fused RoPE", queryLengths: ones,
        kvLengths: [Int](repeating: 8_192, count: 4), variant: .streaming(sinks: 4, window: 1_020)),
      WorkloadBenchmark(
        part: .streaming, name: "unfused RoPE", queryLengths: ones,
        kvLengths: [Int](repeating: 1_024, count: 4)),
    ]
  }
}

/// The keys of a window rotated by their places before every run, as an engine must that cannot
/// rotate them inside attention: read, turned, and written to the cache that attention reads.
private final class RotatedWindow {
  private let keys: AlignedBuffer
  private let turned: AlignedBuffer
  private let table: RotaryTable
  private let entries: [Int]
  private let slots: [Int]
  private let device: CPUDevice

  init(_ setup: BenchmarkSetup, _ lengths: [Int], _ device: CPUDevice) throws {
    self.device = device
    let columns = setup.cache.kvHeads * setup.cache.headDimension
    let rows = lengths.reduce(0, +)
    keys = AlignedBuffer(byteCount: rows * columns * 4)
    turned = AlignedBuffer(byteCount: rows * columns * 4)
    for i in keys.elements(Float.self).indices { keys.elements(Float.self)[i] = Float(i % 7) - 3 }
    var table = RotaryTable(
      try RotaryEmbedding(pairing: .halves, dimension: setup.cache.headDimension))
    table.fill(positions: 0..<(lengths.max() ?? 0))
    self.table = table
    entries = lengths.flatMap { Array(0..<$0) }
    slots = lengths.indices.flatMap { r in
      (0..<lengths[r]).compactMap { setup.batch.pages.slot(of: $0, in: r) }
    }
  }

  func run(_ setup: BenchmarkSetup) throws {
    let columns = setup.cache.kvHeads * setup.cache.headDimension
    func view(_ buffer: AlignedBuffer) -> MatrixView {
      MatrixView(
        buffer.elements(Float.self).baseAddress.unsafelyUnwrapped, rows: entries.count,
        columns: columns)
    }
    try device.rotate(
      view(keys), heads: setup.cache.kvHeads, by: table, entries: entries, into: view(turned))
    try setup.cache.append(keys: view(turned), values: view(keys), slots: slots, on: device)
    try setup.run()
  }
}
