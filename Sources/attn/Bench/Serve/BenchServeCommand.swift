import ArgumentParser
import Foundation

struct BenchServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Load on a server with OpenAI's API: throughput and latency.",
    discussion: """
      With --url any such server is measured; without, `attn serve` is started with what follows \
      `--`. Each --concurrency (so many requests under way at all times) or --rate (requests a \
      second, Poisson arrivals) is a row. TTFT is the time to the first token, TPOT a request's time \
      after it over its further tokens, ITL the time between tokens, E2E that of a whole request.
      """)

  @Option(help: "The server, as http://127.0.0.1:8080.")
  var url: String?

  @Option(help: "The model's name in requests (default: the first that the server names).")
  var modelName: String?

  @Option(help: "The API key (default: OPENAI_API_KEY).")
  var apiKey: String?

  @Option(help: "synthetic, sharegpt, shared-prefix or trace.")
  var workload = Workload.synthetic

  @Option(help: ArgumentHelp("Lines of JSON for --workload trace.", valueName: "file"))
  var trace: String?

  @Option(parsing: .upToNextOption, help: "Requests under way at all times.")
  var concurrency: [Int] = []

  @Option(parsing: .upToNextOption, help: "Requests a second.")
  var rate: [Double] = []

  @Option(help: "Requests of each row (default: 8 for each one under way, at least 16).")
  var requests: Int?

  @Option(help: "Words of a prompt, about as many tokens.")
  var promptLength = 128

  @Option(help: "Tokens of an answer.")
  var outputLength = 128

  @Option(help: "Words of a shared prefix.")
  var prefixLength = 1_024

  @Option(help: "Prompt and answer together, at most.")
  var context = 8_192

  @Option(help: "Continuations of each prompt.")
  var n = 1

  @Option(help: "The seed of prompts, lengths and arrivals.")
  var seed: UInt64 = 1

  @Option(help: "Requests before each row that are not measured.")
  var warmup = 2

  @Option(help: "Seconds after which a request is given up.")
  var timeout = 600.0

  @Option(help: "The server's name in tables and plots.")
  var label: String?

  @Option(help: ArgumentHelp("Plots of throughput and ITL against load.", valueName: "file.svg"))
  var plot: String?

  @Option(
    name: .customLong("with"), parsing: .upToNextOption,
    help: ArgumentHelp("Rows of earlier runs (--json) to print and plot too.", valueName: "files"))
  var earlier: [String] = []

  @OptionGroup var table: TableOptions

  @Argument(parsing: .postTerminator, help: "Arguments of `attn serve`.")
  var serverArguments: [String] = []

  func validate() throws {
    guard n > 0, promptLength > 0, outputLength > 0, prefixLength > 0, context >= 64, warmup >= 0,
      timeout > 0, requests ?? 1 > 0, concurrency.allSatisfy({ (1...20_000).contains($0) }),
      rate.allSatisfy({ $0 > 0 && $0.isFinite })
    else { throw ValidationError("counts, lengths and rates start above 0") }
    if (workload == .trace) != (trace != nil) {
      throw ValidationError("--workload trace and --trace go together")
    }
    if !concurrency.isEmpty, !rate.isEmpty {
      throw ValidationError("either --concurrency or --rate")
    }
    if url != nil, !serverArguments.isEmpty {
      throw ValidationError("arguments of a server are for one started here, without --url")
    }
  }

  func run() throws {
    try reportingErrors {
      var rows: [LoadRow] = []
      for path in earlier {
        guard let data = FileManager.default.contents(atPath: path) else {
          throw CommandFailure(.noInput, "cannot read \(path)")
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        rows += try decoder.decode([LoadRow].self, from: data)
      }
      let child = try url == nil ? ChildServer(serverArguments) : nil
      defer { child?.stop() }
      let key = apiKey ?? ProcessInfo.processInfo.environment["OPENAI_API_KEY"]
      let target = try LoadTarget(url ?? child?.url ?? "", apiKey: key)
      var run = LoadRun(
        target: target, model: try modelName ?? LoadRun.firstModel(of: target))
      run.timeout = timeout
      run.choices = n
      let name = label ?? (url == nil ? "attn" : "\(target.host):\(target.port)")
      if rate.isEmpty {
        for count in concurrency.isEmpty && trace == nil ? [1, 8, 32] : concurrency {
          rows.append(
            try measure(run, name, "concurrency", Double(count)) { _, _ in .closed(count) })
        }
      }
      for rate in rate {
        rows.append(
          try measure(run, name, "rate", rate) { generator, requests in
            var time = 0.0
            return .open(
              requests.map { _ in
                time += generator.interval(rate: rate)
                return time
              })
          })
      }
      if let trace, rate.isEmpty, concurrency.isEmpty {
        rows.append(try measure(run, name, byTimesOf: trace))
      }
      try print(rows)
    }
  }

  private func measure(
    _ run: LoadRun, _ name: String, _ kind: String, _ load: Double,
    arrivals: (inout WorkloadGenerator, [LoadRequest]) -> LoadRun.Arrivals
  ) throws -> LoadRow {
    var generator = self.generator
    let count = requests ?? max(16, kind == "concurrency" ? 8 * Int(load) : 0)
    let list = try trace.map { try read($0, &generator) } ?? generator.requests(count)
    if warmup > 0 {
      var other = WorkloadGenerator(
        .synthetic, promptLength: 32, outputLength: 16, prefixLength: 1, context: context,
        seed: seed &+ 0x5eed)
      _ = try run.run(other.requests(warmup), .closed(warmup))
    }
    let result = try run.run(list, arrivals(&generator, list))
    if let problem = result.outcomes.compactMap(\.problem).first {
      Terminal.note("attn: a request failed: \(problem)")
    }
    return LoadRow(
      result, server: name, model: run.model, workload: workload.rawValue, loadKind: kind,
      load: load, choices: n)
  }

  /// A trace by its own times.
  private func measure(_ run: LoadRun, _ name: String, byTimesOf trace: String) throws -> LoadRow {
    var generator = self.generator
    let arrivals = try read(trace, &generator).compactMap(\.arrival)
    guard let last = arrivals.last, last > 0 else {
      throw CommandFailure(
        .data,
        "\(trace) has no 'timestamp's that differ; --concurrency or --rate says when instead")
    }
    return try measure(run, name, "rate", Double(arrivals.count) / last) { _, requests in
      .open(requests.map { $0.arrival ?? 0 })
    }
  }

  private func read(_ trace: String, _ generator: inout WorkloadGenerator) throws -> [LoadRequest] {
    guard let data = FileManager.default.contents(atPath: trace) else {
      throw CommandFailure(.noInput, "cannot read \(trace)")
    }
    return try generator.trace(String(decoding: data, as: UTF8.self), count: requests ?? .max)
      .sorted { $0.arrival ?? 0 < $1.arrival ?? 0 }
  }

  private var generator: WorkloadGenerator {
    WorkloadGenerator(
      workload, promptLength: promptLength, outputLength: outputLength, prefixLength: prefixLength,
      context: context, seed: seed)
  }

  private func print(_ rows: [LoadRow]) throws {
    if let plot {
      if Set(rows.map(\.loadKind)).count > 1 {
        throw CommandFailure(.data, "a plot has either rows of --concurrency or rows of --rate")
      }
      guard
        FileManager.default.createFile(
          atPath: plot, contents: Data(LoadDrawing(rows: rows).svg.utf8))
      else { throw CommandFailure(.noInput, "cannot write \(plot)") }
    }
    let times: [(name: String, times: (LoadRow) -> LoadRow.Times)] = [
      ("TTFT ms", { $0.ttft }), ("TPOT ms", { $0.tpot }), ("ITL ms", { $0.itl }),
      ("E2E ms", { $0.e2e }),
    ]
    let percentiles: [(name: String, value: (LoadRow.Times) -> Double)] = [
      ("p50", \.p50), ("p90", \.p90), ("p99", \.p99),
    ]
    var columns: [(name: String, value: (LoadRow) -> String)] = [
      ("server", { $0.server }), ("workload", { $0.workload }),
      ("load", { "\($0.loadKind) \(LoadDrawing.number($0.load))" }),
      ("n", { String($0.choices) }), ("requests", { String($0.requests) }),
      ("failed", { String($0.failures) }), ("prompt tok", { String($0.promptTokens) }),
      ("output tok", { String($0.outputTokens) }),
      ("output tok/s", { $0.outputTokensPerSecond.rounded1 }),
    ]
    for (name, times) in times {
      if table.isCSV {
        columns += percentiles.map { percentile in
          ("\(name) \(percentile.name)", { percentile.value(times($0)).rounded1 })
        }
      } else {
        columns.append(
          (
            "\(name) " + percentiles.map(\.name).joined(separator: " / "),
            { row in
              percentiles.map { $0.value(times(row)).rounded1 }.joined(separator: " / ")
            }
          ))
      }
    }
    try table.print(rows, columns: columns)
  }
}
