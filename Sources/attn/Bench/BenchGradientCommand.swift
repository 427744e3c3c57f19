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

  @Option(help: "Worker threads (ATTENTION_THREADS; default: all processors).")
  var threads: Int?

  @Option(help: "Measurements of each row.")
  var rounds = 7

  @Option(help: "Tokens of a request.")
  var length = 1_024

  @Option(help: "Requests.")
  var batch = 2

  @Option(help: "Only rows whose name contains this, for example D128.")
  var filter: String?

  func run() throws {
    try reportingErrors {
      guard rounds > 0, (1...1 << 16).contains(length), (1...1 << 12).contains(batch) else {
        throw ValidationError("--rounds, --length and --batch take numbers of at least 1")
      }
      let device = try CPUDevice(threads: threads)
      var rows: [GradientBenchmark.Result] = []
      for var benchmark in GradientBenchmark.all {
        (benchmark.rounds, benchmark.length, benchmark.batch) = (rounds, length, batch)
        guard filter.map(benchmark.name.contains) ?? true else { continue }
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
