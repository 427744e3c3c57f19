import ArgumentParser
import Devices
import Inference
import LanguageModels
import ModelStore

/// How the engine schedules.
struct EngineFlags: ParsableArguments {
  @Option(help: "Tokens computed in one step.")
  var tokenBudget = 512

  @Option(
    help: "Of these, tokens of prompts while answers go on: fewer give an evener flow of tokens.")
  var prefillBudget = EngineOptions().prefillBudget

  @Option(help: "Sequences computed at once.")
  var maxRunning = 256

  @Option(help: "Requests that may wait; further ones are refused with 503.")
  var maxWaiting = 1024

  @Option(help: ArgumentHelp("Memory for keys and values.", valueName: "MiB"))
  var kvMemory: Int?

  @Option(help: "Tokens on a page of the cache.")
  var pageSize = 16

  @Flag(help: "Compute every prompt anew.")
  var noPrefixCaching = false

  @Flag(
    help: """
      Read pages that several sequences share once for all of them: faster with long common \
      beginnings, but an answer's bits then depend on its company.
      """)
  var compose = false

  @Option(help: "Guess so many tokens a step where the text repeats itself.")
  var promptLookup: Int?

  @Option(help: "A smaller model with the same vocabulary that guesses tokens.")
  var draftModel: String?

  @Option(help: "Tokens that the draft model guesses a step.")
  var draftTokens = 4

  @Option(help: "Attend to the first --attention-sinks tokens and so many last ones, endlessly.")
  var window: Int?

  @Option(help: "First tokens that stay visible with --window.")
  var attentionSinks = 4

  func options(
    _ model: ModelOptions, for bundle: ModelBundle, device: CPUDevice
  ) throws -> EngineOptions {
    for (name, value) in [
      ("token-budget", tokenBudget), ("prefill-budget", prefillBudget), ("max-running", maxRunning),
      ("max-waiting", maxWaiting),
      ("page-size", pageSize), ("kv-memory", kvMemory ?? 1), ("window", window ?? 1),
      ("prompt-lookup", promptLookup ?? 1), ("draft-tokens", draftTokens),
    ] where value < 1 {
      throw ValidationError("--\(name) is \(value); expected at least 1")
    }
    var options = EngineOptions()
    options.kvType = model.storedType(bundle.model)
    options.context = model.context
    options.tokenBudget = tokenBudget
    options.prefillBudget = prefillBudget
    options.maxRunning = maxRunning
    options.maxWaiting = maxWaiting
    options.kvMemory = kvMemory.map { $0 << 20 }
    options.pageSize = pageSize
    options.prefixCaching = !noPrefixCaching
    options.composes = compose
    options.window = window
    options.attentionSinks = attentionSinks
    switch (promptLookup, draftModel) {
    case (nil, nil): break
    case (let tokens?, nil): options.speculation = .promptLookup(tokens: tokens)
    case (nil, let name?):
      let path = try ModelStore().locate(name) { _ in }.path
      let draft = try ModelBundle(
        path: path, precision: model.precision.linear, device: device, gpu: bundle.model.gpu)
      options.speculation = .draft(draft, tokens: draftTokens)
    default: throw ValidationError("--prompt-lookup and --draft-model exclude each other")
    }
    return options
  }
}
