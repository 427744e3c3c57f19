import ArgumentParser
import Attention
import Devices

struct BenchWorkloadCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "workload",
    abstract:
      "The workloads of FlashInfer's paper, and variants: to be timed beside other engines.",
    discussion: """
      With --json a row says what its workload is made of; scripts/bench_attention_peers.py reads \
      that and times PyTorch on the same.
      """)

  @OptionGroup var table: TableOptions
  @OptionGroup var place: ThreadOptions
  @OptionGroup var measurement: MeasurementOptions

  @Option(
    help: "lengths, variants, prefixes, pages or streaming (default: all).",
    transform: { name in
      guard let part = WorkloadBenchmark.Part(rawValue: name) else {
        throw ValidationError("no part is called \(name)")
      }
      return part
    })
  var part: WorkloadBenchmark.Part?

  func run() throws {
    try reportingErrors {
      let device = try place.device()
      var rows: [WorkloadBenchmark.Result] = []
      for var benchmark in WorkloadBenchmark.all
      where part ?? benchmark.part == benchmark.part && measurement.includes(benchmark.name) {
        benchmark.rounds = measurement.rounds
        rows.append(try benchmark.run(on: device))
      }
      try table.print(
        rows,
        columns: [
          ("part", { $0.part.rawValue }), ("workload", { $0.name }),
          ("threads", { String($0.threads) }), ("ms", { ($0.seconds * 1e3).rounded2 }),
          ("GB/s", { $0.gigabytesPerSecond.rounded1 }),
          ("GFLOP/s", { $0.gigaflopsPerSecond.rounded1 }),
        ])
    }
  }
}
