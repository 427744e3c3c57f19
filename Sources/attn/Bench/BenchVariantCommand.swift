import ArgumentParser
import Attention
import Devices

struct BenchVariantCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "variant",
    abstract: "What operations in logits, mask and functors cost.",
    discussion: """
      Causal attention with 1 to 32 operations for every score, and with built-in variants, against \
      causal attention alone, both measured in the same rounds.
      """)

  @OptionGroup var table: TableOptions
  @OptionGroup var place: ThreadOptions
  @OptionGroup var measurement: MeasurementOptions

  @Option(help: "prefill or decode (default: both).")
  var phase: String?

  @Option(help: "Mean tokens of a request (default: 2048 for decode, 1024 for prefill).")
  var length: Int?

  @Option(help: "Query heads for each key/value head.")
  var group = 4

  func run() throws {
    try reportingErrors {
      guard group > 0, (1...1 << 20).contains(length ?? 1) else {
        throw ValidationError("--group and --length take numbers of at least 1")
      }
      let device = try place.device()
      var rows: [VariantBenchmark.Result] = []
      for kind in KernelBenchmark.Phase.allCases where phase == nil || phase == kind.rawValue {
        var kernel = KernelBenchmark(phase: kind, lengths: .constant, groupSize: group)
        kernel.batch = kind == .decode ? 4 : 1
        if let length { kernel.meanLength = length }
        var benchmark = VariantBenchmark(kernel)
        benchmark.rounds = measurement.rounds
        rows += try benchmark.run(on: device, filter: measurement.filter ?? "")
      }
      try table.print(
        rows,
        columns: [
          ("test", { $0.name }), ("operations", { String($0.operations) }),
          ("ms", { String((($0.milliseconds) * 1000).rounded() / 1000) }),
          ("over none", { (($0.ratio - 1) * 100).rounded1 + " %" }),
          ("ns/op/row", { $0.nanosecondsPerRow.rounded1 }),
        ])
    }
  }
}
