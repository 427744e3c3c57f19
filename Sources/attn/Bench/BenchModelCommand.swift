import ArgumentParser
import Attention
import Devices
import LanguageModels
import Tokenizers

struct BenchModelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "model",
    abstract: "Tokens per second of a model: prefill (pp) and decode (tg).",
    discussion: """
      ppN runs N prompt tokens from an empty cache, tgN generates N tokens from an empty cache. \
      Rates are medians.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var table: TableOptions

  @Option(name: .customLong("pp"), help: "Prompt lengths.")
  var promptLengths: [Int] = [128, 512]

  @Option(name: .customLong("tg"), help: "Generated lengths.")
  var generatedLengths: [Int] = [128]

  @Option(help: "Measured runs of each row, after one that is not.")
  var repetitions = 5

  struct Row: Encodable {
    var model: String
    var instructionSet: String
    var threads: Int
    var test: String
    var tokensPerSecond: Double
    var fastest: Double
    var slowest: Double
  }

  func run() throws {
    try reportingErrors {
      guard (promptLengths + generatedLengths + [repetitions]).allSatisfy({ $0 > 0 }) else {
        throw ValidationError("--pp, --tg and --repetitions take numbers of at least 1")
      }
      let (bundle, device) = try model.load()
      let runner = try ModelRunner(
        bundle.model, device: device, options: model.runnerOptions(bundle.model))
      let vocabulary = bundle.model.configuration.vocabularySize
      // The same arbitrary tokens in every run: their values do not change the work.
      let tokens = (0..<(promptLengths.max() ?? 1)).map { TokenID(($0 * 7919 + 17) % vocabulary) }
      var rows: [Row] = []
      func measure(_ test: String, count: Int, _ body: () throws -> Void) throws {
        let clock = ContinuousClock()
        var rates: [Double] = []
        for run in 0...repetitions {
          runner.truncate(to: 0)
          let time = try clock.measure(body)
          if run > 0 { rates.append(Double(count) / (time / .seconds(1))) }
        }
        rows.append(
          Row(
            model: bundle.path.split(separator: "/").last.map(String.init) ?? bundle.path,
            instructionSet: bundle.model.deviceName(device), threads: device.pool.count, test: test,
            tokensPerSecond: rates.median, fastest: rates.max() ?? 0,
            slowest: rates.min() ?? 0))
      }
      for length in promptLengths {
        try measure("pp\(length)", count: length) { _ = try runner.extend(tokens.prefix(length)) }
      }
      for length in generatedLengths {
        try measure("tg\(length)", count: length) {
          for i in 0..<length { _ = try runner.extend([tokens[i % tokens.count]]) }
        }
      }
      try table.print(
        rows,
        columns: [
          ("model", { $0.model }), ("isa", { $0.instructionSet }),
          ("threads", { String($0.threads) }), ("test", { $0.test }),
          ("tok/s", { $0.tokensPerSecond.rounded1 }),
          ("min – max", { "\($0.slowest.rounded1) – \($0.fastest.rounded1)" }),
        ])
    }
  }
}
