import ArgumentParser
import Foundation
import LanguageModels
import Tensors
import Tokenizers

struct BenchPerplexityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "perplexity",
    abstract: "How well a model predicts a text: exp of the mean negative log-likelihood.")

  @Argument(help: "A UTF-8 text file.")
  var text: String

  @OptionGroup var model: ModelOptions
  @OptionGroup var table: TableOptions

  @Option(help: "Only the first tokens of the text, in one window.")
  var tokens = 2_048

  struct Row: Encodable {
    var model: String
    var kvType: String
    var tokens: Int
    var negativeLogLikelihood: Double
    var perplexity: Double
  }

  func run() throws {
    try reportingErrors {
      guard tokens >= 2 else { throw ValidationError("--tokens takes a number of at least 2") }
      guard let data = FileManager.default.contents(atPath: text) else {
        throw CommandFailure(.noInput, "\(text) cannot be read")
      }
      guard let content = String(validating: data, as: UTF8.self) else {
        throw CommandFailure(.data, "\(text) is not UTF-8")
      }
      let (bundle, device) = try model.load()
      let ids = Array(bundle.tokenizer.encode(content, addSpecialTokens: true).prefix(tokens))
      guard ids.count >= 2 else { throw CommandFailure(.data, "\(text) has fewer than 2 tokens") }
      let runner = try ModelRunner(
        bundle.model, device: device, options: model.runnerOptions(bundle.model))
      let mean = try runner.negativeLogLikelihood(ids)
      try table.print(
        [
          Row(
            model: bundle.path.split(separator: "/").last.map(String.init) ?? bundle.path,
            kvType: model.storedType(bundle.model).rawValue.lowercased(), tokens: ids.count,
            negativeLogLikelihood: mean, perplexity: exp(mean))
        ],
        columns: [
          ("model", { $0.model }), ("kv", { $0.kvType }),
          ("tokens", { String($0.tokens) }),
          ("nll", { String(format: "%.6f", $0.negativeLogLikelihood) }),
          ("perplexity", { String(format: "%.4f", $0.perplexity) }),
        ])
    }
  }
}
