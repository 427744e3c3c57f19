import ArgumentParser
import Attention
import Devices

struct BenchGradientCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gradient",
    abstract:
      "Attention's forward and backward pass for training against this machine's arithmetic.",
    discussion: """
      Causal attention of equal requests in 32-bit floats. Only scores that count are counted: 4·D \
      operations each forward, 10·D backward. Figures are medians over rounds.
      """)

  @OptionGroup var table: TableOptions
  @OptionGroup var place: ThreadOptions
  @OptionGroup var measurement: MeasurementOptions

  @Option(help: "Tokens of a request.")
  var length = 1_024

  @Option(help: "Requests.")
  var batch = 2

  func run() throws {
    try reportingErrors {
      guard (1...1 << 16).contains(length), (1...1 << 12).contains(batch) else {
        throw ValidationError("--length and --batch take numbers of at least 1")
      }
      let device = try place.device()
      var rows: [GradientBenchmark.Result] = []
      for var benchmark in GradientBenchmark.all {
        (benchmark.rounds, benchmark.length, benchmark.batch) = (measurement.rounds, length, batch)
        guard measurement.includes(benchmark.name) else { continue }
        rows.append(
          try benchmark.run(on: device) { device.fmaPeak(repetitions: 5) })
      }
      try table.print(
        rows,
        columns: [
          ("test", { $0.name }), ("isa", { $0.instructionSet }),
          ("threads", { String($0.threads) }),
          ("forward GFLOP/s", { $0.forwardGigaflopsPerSecond.rounded1 }),
          ("backward GFLOP/s", { $0.backwardGigaflopsPerSecond.rounded1 }),
          ("peak", { $0.peakGigaflopsPerSecond.rounded1 }),
          ("backward of peak", { ($0.ratioToPeak * 100).rounded1 + " %" }),
        ])
    }
  }
}
