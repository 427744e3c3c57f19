public import Devices
internal import Tensors

/// What a variant costs: attention with 1 to 32 operations in logits or mask, and with the built-in
/// variants, against the same kernel with none.
///
/// Every round takes both one after the other; the figures are medians of the rounds' ratios.
public struct VariantBenchmark: Sendable {
  /// The attention that is measured: `.prefill` or `.decode`, its batch and sizes.
  public var kernel: KernelBenchmark
  /// Measurements, the median of which counts.
  public var rounds = 9

  /// One row of the table.
  public struct Result: Sendable, Codable {
    /// The phase and the variant.
    public var name: String
    /// Operations that are computed for every score.
    public var operations: Int
    /// Milliseconds of a run.
    public var milliseconds: Double
    /// The run's time over that of causal attention alone.
    public var ratio: Double
    /// Nanoseconds for each operation and row of a tile of 128 scores; 0 without operations.
    public var nanosecondsPerRow: Double
  }

  /// Measures `kernel`.
  public init(_ kernel: KernelBenchmark) { self.kernel = kernel }

  /// Multiplications and additions in turn: nothing can be left out.
  static func arithmetic(_ count: Int) -> AttentionVariant {
    AttentionVariant("\(count) mul, add") { v in
      v.mask { at in at.kv <= at.query }
      v.logits { s, at in
        var x = s
        for i in 0..<count {
          x = i % 2 == 0 ? x * (0.9 + Symbol(i) / 1000) : x + at.queryHead / Symbol(i + 100)
        }
        return x
      }
    }
  }

  /// Comparisons that always hold, which no bound and no interval sees: three operations each.
  static func conditions(_ count: Int) -> AttentionVariant {
    AttentionVariant("\(count) conditions") { v in
      v.mask { at in at.kv <= at.query }
      for i in 0..<count {
        v.mask { at in
          let x = (at.kv - at.query) / Symbol(i + 3)
          return floor(x) <= x
        }
      }
    }
  }

  static func functions(_ count: Int) -> AttentionVariant {
    AttentionVariant("\(count) tanh") { v in
      v.mask { at in at.kv <= at.query }
      v.logits { s, _ in (0..<count).reduce(s) { x, _ in tanh(x) } }
    }
  }

  private func variants(heads: Int) -> [(variant: AttentionVariant, operations: Int)] {
    var rows: [(AttentionVariant, Int)] = []
    // The benchmark against itself: what is between its rows and nothing.
    rows.append((AttentionVariant("causal alone") { v in v.mask { at in at.kv <= at.query } }, 0))
    for count in [1, 2, 4, 8, 16, 32] { rows.append((Self.arithmetic(count), count)) }
    for count in [1, 2, 4, 8] { rows.append((Self.functions(count), count)) }
    for count in [1, 3, 10] { rows.append((Self.conditions(count), 3 * count + 1)) }
    let causal = AttentionVariant.causal
    rows.append((causal.combined(with: .softCap(30)), 2))
    rows.append((causal.combined(with: .alibi(heads: heads)), 2))
    rows.append((causal.combined(with: .sink(logits: (0..<heads).map(Float.init))), 0))
    rows.append((causal.combined(with: .rope()), 0))
    rows.append((causal.combined(with: .rope(.interleaved)), 0))
    rows.append((causal.combined(with: .sigmoid(bias: -7)), 2))
    return rows
  }

  /// Measures every row on a device.
  ///
  /// - Parameters:
  ///   - device: The processor.
  ///   - filter: Only rows whose name contains this.
  public func run(on device: CPUDevice, filter: String = "") throws(KernelBenchmark.Failure)
    -> [Result]
  {
    var results: [Result] = []
    do {
      let base = try BenchmarkSetup(kernel, device)
      try base.run()
      for (variant, operations) in variants(heads: kernel.kvHeads * kernel.groupSize)
      where filter.isEmpty || variant.name.contains(filter) {
        let plan = try AttentionPlan(
          device: device, shape: base.plan.shape, variant: variant, batch: base.batch)
        try base.run(plan)
        var (seconds, ratios): ([Double], [Double]) = ([], [])
        for _ in 0..<max(rounds, 1) {
          let without = KernelBenchmark.measure { try? base.run() }
          let with = KernelBenchmark.measure { try? base.run(plan) }
          seconds.append(with)
          ratios.append(with / without)
        }
        let time = seconds.median
        let ratio = ratios.median
        let tileRows = base.operations / Double(4 * kernel.headDimension * 128)
        results.append(
          Result(
            name: "\(kernel.phase.rawValue) \(variant.name)", operations: operations,
            milliseconds: time * 1e3, ratio: ratio,
            nanosecondsPerRow: operations == 0
              ? 0
              : time * (1 - 1 / ratio) * 1e9 * Double(device.pool.count) / tileRows
                / Double(operations)))
      }
    } catch {
      throw KernelBenchmark.Failure(description: "variant benchmark: \(error)")
    }
    return results
  }
}
