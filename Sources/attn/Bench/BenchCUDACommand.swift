import ArgumentParser
import Attention
import Devices
import Foundation

struct BenchCUDACommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cuda",
    abstract: "Attention on a GPU, beside the GPU's copy bandwidth and matrix rate.",
    discussion: """
      Every workload is compared with the reference before it is timed; a wrong one has no figure and \
      the exit status is 1. Times are medians of a captured graph of layers that read more than the \
      second cache holds. A tile with a star was asked for, one without is the engine's choice. Kernels \
      come from ATTENTION_KERNELS or the cache folder, else from NVRTC.
      """)

  @OptionGroup var table: TableOptions

  @Option(
    help: """
      Parts, separated by commas: decode, prefill, latent, fp8, pages, prefix, start, plan; all by \
      default.
      """)
  var parts = ""

  @Option(help: "Measurements, the median of which counts.")
  var rounds = 15

  @Option(help: "The GPU's place in the driver's list.")
  var gpu = 0

  /// A run's rows, and where and when they were measured.
  struct Report: Encodable {
    var device: String
    var architecture: String
    var driver: String
    var date: Date
    var rows: [CUDABenchmark.Row]
  }

  func run() throws {
    try reportingErrors {
      let context = try CUDAContext(CUDADriver(), device: gpu)
      let compiler = CUDACompiler(context)
      let wanted = parts.split(separator: ",").map(String.init)
      var sizes = CUDABenchmark.Sizes()
      sizes.rounds = max(rounds, 1)
      var products: CUBLASLt?
      do { products = try CUBLASLt(context) } catch {
        Terminal.note("prefill has nothing to be compared with: \(error)")
      }
      func fresh(_ cache: CUDAKernelCache) -> CUDABenchmark.Loader {
        let compiler = CUDACompiler(context, cache: cache)
        return { source throws(CUDAFailure) in try compiler.module(source) }
      }
      let benchmark = try CUDABenchmark(
        context, host: CPUDevice(), sizes: sizes, products: products,
        wanted: { wanted.isEmpty || wanted.contains($0) },
        report: { row in
          let ratio = row.ratio.map { " \(Int($0 * 100)) %" } ?? ""
          Terminal.note(
            "\(row.part) \(row.name) \(row.tile ?? ""):\(ratio) \(row.microseconds.rounded1) µs")
        },
        loaders: [
          ("NVRTC", { fresh(CUDAKernelCache(directory: nil)) }), ("kept", { fresh(.standard) }),
        ]
      ) { source throws(CUDAFailure) in try compiler.module(source) }
      try benchmark.run()
      if table.json {
        try Terminal.printJSON(
          Report(
            device: context.device.name, architecture: context.architecture.rawValue,
            driver: "\(context.driver.version)", date: Date(), rows: benchmark.rows))
      } else {
        try table.print(
          benchmark.rows,
          columns: [
            ("part", { $0.part }), ("test", { $0.name }), ("tile", { $0.tile ?? "" }),
            ("µs", { $0.microseconds.rounded1 }), ("rate", { $0.rate.map(\.rounded1) ?? "" }),
            ("unit", { $0.unit ?? "" }),
            ("of the limit", { $0.ratio.map { "\(Int($0 * 100)) %" } ?? "" }),
            ("error", { $0.isRight ? "" : "WRONG \($0.error ?? .infinity)" }),
          ])
      }
      if benchmark.rows.contains(where: { !$0.isRight }) { throw ExitCode(1) }
    }
  }
}
