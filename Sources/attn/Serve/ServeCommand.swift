import ArgumentParser
import Inference
import LanguageModels
import Logging
import ModelStore
import Serving

struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Serve a model over HTTP with OpenAI's API, and a chat page.",
    discussion: """
      Every option can also be given as an environment variable: --max-running as \
      ATTENTION_MAX_RUNNING. A flag is set by 1. The command line counts more.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup(title: "Listening") var listening: ListeningOptions
  @OptionGroup(title: "Limits") var limits: LimitOptions
  @OptionGroup(title: "Engine") var engine: EngineFlags

  @Option(
    help: "What is logged: trace, debug, info, notice, warning, error or critical (default: info).",
    transform: Self.level)
  var logLevel = Logger.Level.info

  func run() async throws {
    let start = ContinuousClock.now
    Allocator.keepSmall()
    do {
      let options = try serverOptions()
      let server = try makeServer(options)
      let key = options.apiKeys.isEmpty ? "" : " -H \"Authorization: Bearer $ATTENTION_API_KEY\""
      try await server.run { address in
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        Terminal.note("ready in \(Int(seconds * 1000)) ms: \(Self.curl(address, key: key))")
      }
    } catch {
      try reportingErrors { throw error }
    }
  }

  private func makeServer(_ options: ServerOptions) throws -> InferenceServer {
    let name = model.model ?? ModelStore.defaultModel
    Terminal.note("loading \(name)")
    let (bundle, device) = try model.load()
    var options = options
    if options.modelNames.isEmpty { options.modelNames = [Self.shortName(name)] }
    let engine = try InferenceEngine(
      bundle, device: device, options: try self.engine.options(model, for: bundle, device: device))
    let level = logLevel
    let logger = Logger(label: "attn") { label in
      var handler = StreamLogHandler.standardError(label: label)
      handler.logLevel = level
      return handler
    }
    return InferenceServer(engine, options: options, logger: logger)
  }

  /// A path's last part without its ending; any other name as it is.
  private static func shortName(_ name: String) -> String {
    guard name.hasPrefix("/") || name.hasPrefix(".") || name.hasSuffix(".gguf") else { return name }
    let last = name.split(separator: "/").last.map(String.init) ?? name
    return last.hasSuffix(".gguf") ? String(last.dropLast(5)) : last
  }

  /// A request to paste into a shell.
  private static func curl(_ address: String, key: String) -> String {
    let target =
      address.hasPrefix("/") || !address.contains("://")
      ? "--unix-socket \(address) http://localhost" : address
    return "curl \(target)/v1/chat/completions\(key) -H 'Content-Type: application/json' "
      + "-d '{\"messages\": [{\"role\": \"user\", \"content\": \"Name three colours.\"}], "
      + "\"max_tokens\": 64}'"
  }

  private static func level(_ name: String) throws -> Logger.Level {
    guard let level = Logger.Level(rawValue: name) else {
      throw ValidationError("'\(name)' is no log level")
    }
    return level
  }

  private func serverOptions() throws -> ServerOptions {
    var options = try listening.options()
    try limits.apply(to: &options)
    return options
  }
}
