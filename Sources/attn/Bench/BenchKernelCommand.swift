import ArgumentParser
import Attention
import Devices

struct BenchKernelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernel",
    abstract: "Attention against this machine's bandwidth and arithmetic.",
    discussion: """
      Decode is held against plain reading of memory, prefill against multiply-adds in registers \
      (of bf16 pairs where attention uses them, else of 32-bit floats), measured in the same \
      rounds. The roofline is the slower of the two bounds: a large group of query heads may be \
      bound by arithmetic in decode too. Figures are medians over rounds.
      """)

  @OptionGroup var table: TableOptions
  @OptionGroup var place: ThreadOptions
  @OptionGroup var measurement: MeasurementOptions

  @Option(help: "Mean tokens of a request (default: 2048 for decode, 1024 for prefill).")
  var length: Int?

  @Option(help: "Requests (default: 16 for decode, 4 for prefill).")
  var batch: Int?

  @Option(help: "Tokens of a page.")
  var pageSize = 16

  @Option(
    help: "The stored form: float32, float16, bfloat16, float8E4M3, float8E5M2 or int8.",
    transform: { name in
      guard let type = KernelBenchmark.ElementTypeName(rawValue: name) else {
        throw ValidationError("no stored form is called \(name)")
      }
      return type
    })
  var type = KernelBenchmark.ElementTypeName.bfloat16

  @Option(help: "The last keys that a query sees (default: all).")
  var window: Int?

  @Flag(help: "Plan as for serving: a request's bits do not depend on others.")
  var batchInvariant = false

  func run() throws {
    try reportingErrors {
      guard (1...1 << 20).contains(length ?? 1), (1...1 << 12).contains(batch ?? 1),
        (1...1 << 12).contains(pageSize), (1...1 << 20).contains(window ?? 1)
      else {
        throw ValidationError(
          "--length, --batch, --page-size and --window take numbers of at least 1")
      }
      let device = try place.device()
      let probes = KernelBenchmark.Probes(
        readBandwidth: { device.readBandwidth(repetitions: 4) },
        multiplyAddPeak: { device.fmaPeak(pairs: $0, repetitions: 5) })
      var rows: [KernelBenchmark.Result] = []
      for var benchmark in KernelBenchmark.all where measurement.includes(benchmark.name) {
        benchmark.rounds = measurement.rounds
        benchmark.pageSize = pageSize
        benchmark.elementType = type
        benchmark.window = window
        benchmark.isBatchInvariant = batchInvariant
        if let length { benchmark.meanLength = length }
        if let batch { benchmark.batch = batch }
        rows.append(try benchmark.run(on: device, probes: probes))
      }
      try table.print(
        rows,
        columns: [
          ("test", { $0.name }), ("isa", { $0.instructionSet }),
          ("threads", { String($0.threads) }),
          ("GB/s", { $0.gigabytesPerSecond.rounded1 }),
          ("GFLOP/s", { $0.gigaflopsPerSecond.rounded1 }), ("best", { $0.probe.rounded1 }),
          ("of best", { ($0.ratioToProbe * 100).rounded1 + " %" }),
          ("of roofline", { ($0.ratioToRoof * 100).rounded1 + " %" }),
          ("plan µs", { ($0.planSeconds * 1e6).rounded1 }),
        ])
    }
  }
}
