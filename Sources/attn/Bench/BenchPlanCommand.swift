import ArgumentParser
import Attention
import Devices

struct BenchPlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Planning a step: microseconds of the host.",
    discussion: """
      check is taking the page table from the caller's arrays, each entry checked, and copy the \
      same without checking; plan is what `update` then does: finding shared pages, cutting, distributing. single is the same without \
      looking for shared pages.
      """)

  @OptionGroup var table: TableOptions
  @OptionGroup var measurement: MeasurementOptions

  @Option(help: "Queues that the work is distributed over.")
  var workers = 16

  @Option(help: "Mean tokens of a request.")
  var length = 1_024

  func run() throws {
    try reportingErrors {
      guard (16...1 << 16).contains(length), (1...65_535).contains(workers) else {
        throw ValidationError("--workers takes numbers from 1 to 65535, --length from 16")
      }
      let device = try CPUDevice(threads: 1)
      var rows: [PlanBenchmark.Result] = []
      for batch in [16, 64, 256] {
        for sharing in PlanBenchmark.Sharing.allCases {
          var benchmark = PlanBenchmark(batch: batch, sharing: sharing)
          benchmark.meanLength = length
          benchmark.rounds = measurement.rounds
          guard measurement.includes(benchmark.name) else { continue }
          rows.append(try benchmark.run(on: device, workers: workers))
        }
      }
      try table.print(
        rows,
        columns: [
          ("test", { $0.name }), ("workers", { String($0.workers) }),
          ("pages", { String($0.pages) }), ("runs", { String($0.runs) }),
          ("check µs", { ($0.checkSeconds * 1e6).rounded1 }),
          ("copy µs", { ($0.copySeconds * 1e6).rounded1 }),
          ("plan µs", { ($0.planSeconds * 1e6).rounded1 }),
          ("single µs", { ($0.planSingleSeconds * 1e6).rounded1 }),
          ("of bound", { ($0.imbalance * 100).rounded1 + " %" }),
        ])
    }
  }
}
