import ArgumentParser
import Devices
import Foundation
import Inference
import LanguageModels
import Synchronization
import Tokenizers

struct BenchEngineCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "engine",
    abstract: "Tokens per second of many sequences at a time, in process.",
    discussion: """
      Each row runs so many greedy requests together, their prompts arbitrary tokens of which the \
      first --shared are the same, or with --parallel one request of so many sequences. The host's \
      share is the time of a step in which the model does not run.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var table: TableOptions

  @Option(help: "Numbers of sequences.")
  var streams: [Int] = [1, 8, 32]

  @Option(help: "Tokens of each prompt.")
  var prompt = 64

  @Option(help: "Tokens at the beginning of all prompts that are the same.")
  var shared = 0

  @Option(help: "Tokens generated after each prompt.")
  var tokens = 128

  @Flag(help: "Sequences of one request instead of requests.")
  var parallel = false

  @Flag(help: "Read shared pages once for all sequences.")
  var composes = false

  @Option(help: "Tokens guessed at a time from the sequence itself; 0 guesses none.")
  var lookup = 0

  @Option(help: "Measured runs of each row, after one that is not.")
  var repetitions = 3

  struct Row: Encodable {
    var streams: Int
    var tokensPerSecond: Double
    var stepMilliseconds: Double
    var hostShare: Double
    var rowsPerStep: Double
    var cachedShare: Double
  }

  func run() throws {
    try reportingErrors {
      guard (streams + [prompt, tokens, repetitions]).allSatisfy({ $0 > 0 }) else {
        throw ValidationError("--streams, --prompt, --tokens and --repetitions are at least 1")
      }
      let (bundle, device) = try model.load()
      let rows = try streams.map { try measure($0, bundle, device) }
      try table.print(
        rows,
        columns: [
          ("streams", { String($0.streams) }), ("tok/s", { $0.tokensPerSecond.rounded1 }),
          ("ms/step", { String(format: "%.2f", $0.stepMilliseconds) }),
          ("host", { String(format: "%.1f %%", $0.hostShare * 100) }),
          ("rows/step", { $0.rowsPerStep.rounded1 }),
          ("cached", { String(format: "%.0f %%", $0.cachedShare * 100) }),
        ])
    }
  }

  private func measure(_ count: Int, _ bundle: ModelBundle, _ device: CPUDevice) throws -> Row {
    var options = EngineOptions()
    options.kvType = model.storedType(bundle.model)
    options.context = model.context
    options.maxRunning = max(count, options.maxRunning)
    options.composes = composes
    if lookup > 0 { options.speculation = .promptLookup(tokens: lookup) }
    let engine = try InferenceEngine(bundle, device: device, options: options)
    let vocabulary = bundle.model.configuration.vocabularySize
    var rates: [Double] = []
    var before = EngineStatistics()
    for run in 0...repetitions {
      if run == 1 { before = engine.statistics() }
      // Other tokens in every run, so that the prefix cache knows only what runs share.
      let requests = (0..<(parallel ? 1 : count)).map { request in
        var new = InferenceRequest(
          prompt: (0..<prompt).map { i in
            let number = i < shared ? i : i + 1_000 * (request + 1) + 100_000 * (run + 1)
            return TokenID((number &* 7919 &+ 17) % vocabulary)
          })
        new.n = parallel ? count : 1
        new.maxTokens = tokens
        new.ignoresEndOfGeneration = true
        return new
      }
      let time = try ContinuousClock().measure { try generate(requests, engine) }
      if run > 0 { rates.append(Double(count * tokens) / (time / .seconds(1))) }
    }
    let after = engine.statistics()
    let steps = Double(after.steps - before.steps)
    let modelTime = after.modelTime - before.modelTime
    let hostTime = after.hostTime - before.hostTime
    return Row(
      streams: count, tokensPerSecond: rates.median,
      stepMilliseconds: (modelTime + hostTime) / .milliseconds(1) / steps,
      hostShare: hostTime / (modelTime + hostTime),
      rowsPerStep: Double(after.stepTokens - before.stepTokens) / steps,
      cachedShare: Double(after.prefixHits - before.prefixHits)
        / Double(max(after.prefixQueries - before.prefixQueries, 1)))
  }

  /// Runs requests to their ends.
  private func generate(_ requests: [InferenceRequest], _ engine: InferenceEngine) throws {
    let streams = try requests.map { try engine.submit($0) }
    let end = End()
    for stream in streams {
      end.left.enter()
      Task {
        for await event in stream {
          if case .failed(let text) = event.finish { end.problem.withLock { $0 = text } }
        }
        end.left.leave()
      }
    }
    end.left.wait()
    if let text = end.problem.withLock({ $0 }) { throw EngineFailure.model(text) }
  }

  /// How requests ended.
  private final class End: Sendable {
    let problem = Mutex<String?>(nil)
    let left = DispatchGroup()
  }
}
