import ArgumentParser
import Attention
import Devices
import Tensors

struct BenchGoalsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "goals",
    abstract: "The engine's figures beside the figures it is built to reach.",
    discussion: """
      Every figure is a ratio within one run, or a time of the host. --filter picks rows by the \
      words of the first two columns, so that parts can be measured one after the other.
      """)

  @OptionGroup var table: TableOptions
  @OptionGroup var place: ThreadOptions
  @OptionGroup var measurement: MeasurementOptions

  /// One figure and what it should be.
  struct Row: Encodable {
    var goal: String
    var test: String
    var value: Double
    var unit: String
    /// What the value should be at least, or at most.
    var wanted: Double
    var isAtLeast: Bool
    var reached: Bool
    /// What the machine's own limits allow at most, where they are lower than one may think.
    var possible: Double?
  }

  func run() throws {
    try reportingErrors {
      let device = try place.device()
      let rows = try arithmetic(device) + pages(device) + prefixes(device) + planning(device)
      try table.print(
        rows,
        columns: [
          ("goal", { $0.goal }), ("test", { $0.test }), ("measured", { $0.text($0.value) }),
          ("possible", { row in row.possible.map(row.text) ?? "" }),
          ("wanted", { ($0.isAtLeast ? "≥ " : "≤ ") + $0.text($0.wanted) }),
          ("reached", { $0.reached ? "yes" : "no" }),
        ])
    }
  }

  /// A row where it is asked for; the value is measured only then.
  private func row(
    _ goal: String, _ test: String, unit: String, atLeast: Double? = nil, atMost: Double? = nil,
    _ value: () throws -> Double
  ) rethrows -> [Row] {
    guard measurement.includes("\(goal) \(test)") else { return [] }
    let value = try value()
    let wanted = atLeast ?? atMost ?? 0
    return [
      Row(
        goal: goal, test: test, value: value, unit: unit, wanted: wanted,
        isAtLeast: atLeast != nil, reached: atLeast == nil ? value <= wanted : value >= wanted)
    ]
  }

  /// Decode against read bandwidth, prefill against the multiply-add peak.
  private func arithmetic(_ device: CPUDevice) throws -> [Row] {
    let probes = KernelBenchmark.Probes(
      readBandwidth: { device.readBandwidth(repetitions: 4) },
      multiplyAddPeak: { device.fmaPeak(pairs: $0, repetitions: 5) })
    var rows: [Row] = []
    for lengths in KernelBenchmark.Lengths.allCases {
      for group in [1, 4, 8] {
        var benchmark = KernelBenchmark(phase: .decode, lengths: lengths, groupSize: group)
        benchmark.rounds = measurement.rounds
        rows += try row(
          "decode, of read bandwidth", "\(lengths.rawValue) g\(group)", unit: "%", atLeast: 95
        ) { try benchmark.run(on: device, probes: probes).ratioToProbe * 100 }
      }
    }
    for length in [1_024, 4_096, 16_384] {
      var benchmark = KernelBenchmark(phase: .prefill, lengths: .constant, groupSize: 4)
      benchmark.meanLength = length
      benchmark.batch = length == 1_024 ? 4 : 1
      benchmark.rounds = length > 8_192 ? min(measurement.rounds, 3) : measurement.rounds
      rows += try row("prefill, of the peak", "causal \(length)", unit: "%", atLeast: 85) {
        try benchmark.run(on: device, probes: probes).ratioToProbe * 100
      }
    }
    return rows
  }

  /// Pages of one token against pages of sixteen.
  private func pages(_ device: CPUDevice) throws -> [Row] {
    try [("decode", 1.0), ("prefill", 5.0)].flatMap { phase, most in
      try row("pages of 1 token, time over pages of 16", phase, unit: "%", atMost: most) {
        let seconds = try [1, 16].map { size in
          var benchmark = WorkloadBenchmark.all.first {
            $0.part == .pages && $0.name == "\(phase), pages of \(size)"
          }
          benchmark?.rounds = measurement.rounds
          return try benchmark?.run(on: device).seconds ?? 0
        }
        return (seconds[0] / seconds[1] - 1) * 100
      }
    }
  }

  /// A prefix read once against once for each request.
  private func prefixes(_ device: CPUDevice) throws -> [Row] {
    try [1, 4, 8].flatMap { (group: Int) -> [Row] in
      var possible: Double?
      var rows = try row(
        "shared prefix, speed-up", "8192 x 32 g\(group)", unit: "x", atLeast: 10
      ) {
        var benchmark = PrefixBenchmark(groupSize: group)
        benchmark.rounds = measurement.rounds
        let result = try benchmark.run(on: device)
        possible = result.possibleSpeedup
        return result.speedup
      }
      for i in rows.indices { rows[i].possible = possible }
      return rows
    }
  }

  /// The host's work.
  private func planning(_ device: CPUDevice) throws -> [Row] {
    var rows: [Row] = []
    let shape = AttentionShape(queryHeads: 32, kvHeads: 8, headDimension: 128)
    var skewed = KernelBenchmark(phase: .decode, lengths: .zipf, groupSize: 4)
    for workers in [2, 16, 64, 132, 264] {
      rows += try row(
        "makespan over lower bound", "Zipf, \(workers) workers", unit: "", atMost: 1.05
      ) {
        var worst = 0.0
        for (batch, mean) in [(4, 8_192), (16, 2_048), (64, 1_024), (256, 512)] {
          (skewed.batch, skewed.meanLength) = (batch, mean)
          let lengths = skewed.requestLengths
          let plan = try AttentionPlan(
            device: device, shape: shape,
            batch: AttentionBatch(
              queries: RaggedIndex(lengths: lengths.map { _ in 1 }),
              pages: PageTable(raggedLengths: lengths, pageSize: 16)), workers: workers)
          worst = max(
            worst, Double(plan.schedule.makespan) / Double(max(plan.schedule.lowerBound, 1)))
        }
        return worst
      }
    }
    for sharing in PlanBenchmark.Sharing.allCases {
      var benchmark = PlanBenchmark(batch: 256, sharing: sharing)
      benchmark.rounds = measurement.rounds
      let test = "256 requests, sharing \(sharing.rawValue)"
      guard measurement.includes("plan \(test) validation of plan") else { continue }
      let result = try benchmark.run(on: device, workers: 16)
      rows += row("plan", test, unit: "µs", atMost: 50) { result.planSeconds * 1e6 }
      rows += row("validation, of plan", test, unit: "%", atMost: 2) {
        (result.checkSeconds - result.copySeconds) / result.planSeconds * 100
      }
    }
    rows += try row("variant, first use", "soft cap and window", unit: "ms", atMost: 1) {
      var number: Float = 30
      return try KernelBenchmark.seconds {
        number += 1
        let variant = AttentionVariant.causal.combined(with: .softCap(number))
          .combined(with: .slidingWindow(left: 1_024))
        _ = try AttentionPlan(device: device, shape: shape, variant: variant)
      } * 1e3
    }
    return rows
  }
}

extension BenchGoalsCommand.Row {
  fileprivate func text(_ value: Double) -> String {
    unit == "%" ? "\(value.rounded1) %" : "\(value.rounded2) \(unit)"
  }
}
