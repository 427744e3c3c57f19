import ArgumentParser
import Attention
import Devices

struct BenchPrefixCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prefix",
    abstract: "Requests with a common beginning: read once, against once for each.",
    discussion: """
      Decode of requests that share a prefix's pages. The planner finds that by itself; the single \
      format is the same plan with composition off. Both are measured in the same rounds.
      """)

  @OptionGroup var table: TableOptions
  @OptionGroup var place: ThreadOptions
  @OptionGroup var measurement: MeasurementOptions

  @Option(help: "Tokens of the common beginning.")
  var prefix = 8_192

  @Option(help: "Tokens of each request's own.")
  var suffix = 128

  @Option(help: "Requests.")
  var batch = 32

  func run() throws {
    try reportingErrors {
      guard (1...1 << 20).contains(prefix), (1...1 << 20).contains(suffix),
        (1...1 << 12).contains(batch)
      else {
        throw ValidationError("--prefix, --suffix and --batch take numbers of at least 1")
      }
      let device = try place.device()
      let rows = try [1, 4, 8].map { group in
        var benchmark = PrefixBenchmark(groupSize: group)
        benchmark.prefix = prefix
        benchmark.suffix = suffix
        benchmark.batch = batch
        benchmark.rounds = measurement.rounds
        return try benchmark.run(on: device)
      }
      let columns: [(String, (PrefixBenchmark.Result) -> String)] = [
        ("test", { $0.name }), ("isa", { $0.instructionSet }),
        ("threads", { String($0.threads) }), ("shared keys", { String($0.sharedKeys) }),
        ("composed ms", { ($0.composedSeconds * 1e3).rounded1 }),
        ("single ms", { ($0.singleSeconds * 1e3).rounded1 }),
        ("speed-up", { $0.speedup.rounded1 }), ("possible", { $0.possibleSpeedup.rounded1 }),
        ("plan µs", { ($0.planSeconds * 1e6).rounded1 }),
      ]
      try table.print(rows, columns: columns)
    }
  }
}
