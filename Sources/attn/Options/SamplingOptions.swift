import ArgumentParser
import Inference

/// How tokens are chosen and when the text ends.
struct SamplingOptions: ParsableArguments {
  @Option(help: "The most tokens to generate.")
  var maxTokens: Int?

  @Option(help: "0 is greedy; higher is more varied.")
  var temperature: Float?

  @Option(help: "Choose among the K most probable tokens; 0 for all.")
  var topK: Int?

  @Option(help: "Choose among the most probable tokens that make up this share.")
  var topP: Float?

  @Option(help: "Choose among tokens at least this many times as probable as the best.")
  var minP: Float?

  @Option(help: "The same seed gives the same text (default: random).")
  var seed: UInt64?

  @Option(
    name: .customLong("stop"),
    help: "End the text before this string; may be given more than once.")
  var stops: [String] = []

  /// The options as a request, with a command's own defaults where the user gave nothing.
  func request(maxTokens: Int, defaults: SamplingParameters) throws -> GenerationOptions {
    var options = GenerationOptions()
    options.maxTokens = self.maxTokens ?? maxTokens
    guard options.maxTokens > 0 else {
      throw ValidationError("--max-tokens is \(options.maxTokens); expected at least 1")
    }
    options.sampling = defaults
    if let temperature { options.sampling.temperature = temperature }
    if let topK { options.sampling.topK = topK }
    if let topP { options.sampling.topP = topP }
    if let minP { options.sampling.minP = minP }
    options.sampling.seed = seed ?? .random(in: 0...(1 << 53))
    options.stops = stops
    do {
      try options.sampling.validate()
    } catch {
      throw ValidationError(error.description)
    }
    return options
  }
}
