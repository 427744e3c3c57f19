import ArgumentParser
import Devices
import Inference
import LanguageModels
import Tokenizers

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Continue a text.",
    discussion: """
      Fetches the model on first use, streams the continuation to standard output and the speed to \
      standard error. The prompt is the model's raw input; for questions and answers see `attn chat`.
      """)

  @Argument(help: "The text to continue; - or nothing reads standard input.")
  var prompt: String?

  @OptionGroup var model: ModelOptions
  @OptionGroup var sampling: SamplingOptions

  @Flag(help: "Print one JSON object: token ids, text, timings.")
  var json = false

  func run() throws {
    try reportingErrors {
      let options = try sampling.request(maxTokens: 128, defaults: SamplingParameters())
      let text = try prompt.flatMap { $0 == "-" ? nil : $0 } ?? Terminal.readAll()
      let session = try model.session()
      let tokens = session.bundle.tokenizer.encode(text, addSpecialTokens: true)
      try session.check(tokens)
      if !json { Terminal.write(text) }
      let result = try session.generate(tokens, options: options) { piece in
        if !json { Terminal.write(piece) }
        return true
      }
      if json {
        try Terminal.printJSON(GenerationReport(result, session: session, options: options))
      } else {
        Terminal.write("\n")
        Terminal.note(result.summary)
      }
    }
  }
}

extension Generation {
  /// One line on the speed of both phases.
  var summary: String {
    let prefill = promptTokens.count - cachedTokens
    return "prefill \(prefill) tokens, \(prefillRate.rounded1) tok/s · "
      + "decode \(tokens.count) tokens, \(decodeRate.rounded1) tok/s"
  }
}

/// What `--json` prints.
struct GenerationReport: Encodable {
  var model: String
  var instructionSet: String
  var threads: Int
  var seed: UInt64
  var promptTokens: [TokenID]
  var cachedTokens: Int
  var tokens: [TokenID]
  var text: String
  var finishReason: String
  var prefillSeconds: Double
  var decodeSeconds: Double
  var prefillTokensPerSecond: Double
  var decodeTokensPerSecond: Double

  init(_ result: Generation, session: Session, options: GenerationOptions) {
    model = session.bundle.path
    instructionSet = session.bundle.model.deviceName(session.device)
    threads = session.device.pool.count
    seed = options.sampling.seed
    promptTokens = result.promptTokens
    cachedTokens = result.cachedTokens
    tokens = result.tokens
    text = result.text
    finishReason = result.finishReason.rawValue
    prefillSeconds = result.prefillTime / .seconds(1)
    decodeSeconds = result.decodeTime / .seconds(1)
    prefillTokensPerSecond = result.prefillRate
    decodeTokensPerSecond = result.decodeRate
  }
}
