import ArgumentParser
import Devices
import Inference
import LanguageModels

/// How the engine schedules.
struct EngineFlags: ParsableArguments {
  @Option(help: "Tokens computed in one step.")
  var tokenBudget = 512

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

  func options(
    _ model: ModelOptions, _ bundle: ModelBundle, _ device: CPUDevice
  ) throws -> EngineOptions {
    for (name, value) in [
      ("token-budget", tokenBudget), ("max-running", maxRunning), ("max-waiting", maxWaiting),
      ("page-size", pageSize), ("kv-memory", kvMemory ?? 1),
    ] where value < 1 {
      throw ValidationError("--\(name) is \(value); expected at least 1")
    }
    var options = EngineOptions()
    options.kvType = model.kvType.elementType
    options.context = model.context
    options.tokenBudget = tokenBudget
    options.maxRunning = maxRunning
    options.maxWaiting = maxWaiting
    options.kvMemory = kvMemory.map { $0 << 20 }
    options.pageSize = pageSize
    options.prefixCaching = !noPrefixCaching
    return options
  }
}
