import Devices
import Foundation
import LanguageModels
import Tensors
import Testing

/// Real models against PyTorch.
///
/// A model that is not in the cache is skipped, unless
/// `ATTENTION_REQUIRE_MODELS` names it: then its absence is a failure.
@Suite(.serialized) struct ReferenceTests {
  /// A known model's file in the cache.
  struct CachedModel: Sendable, CustomTestStringConvertible {
    var name: String
    var file: String
    var testDescription: String { name }

    var path: String {
      let environment = ProcessInfo.processInfo.environment
      let home = environment["HOME"] ?? ""
      let chosen = environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 }
      let cache = chosen ?? home + "/.cache"
      return "\(cache)/swift-attention/models/\(name)/\(file)"
    }

    var isPresent: Bool { FileManager.default.fileExists(atPath: path) }
  }

  static let smolLM2 = CachedModel(
    name: "smollm2-135m-instruct", file: "SmolLM2-135M-Instruct.Q4_1.gguf")
  static let gemma3 = CachedModel(name: "gemma-3-270m", file: "gemma-3-270m-q4_k_m.gguf")
  static let qwen2 = CachedModel(
    name: "qwen2.5-coder-0.5b", file: "qwen2.5-coder-0.5b-q4_k_m.gguf")

  static var required: [Substring] {
    (ProcessInfo.processInfo.environment["ATTENTION_REQUIRE_MODELS"] ?? "").split(separator: ",")
  }

  /// The models whose tests run here, with the names of their references.
  static let cases = [
    (smolLM2, "smollm2"), (smolLM2, "smollm2-long"), (gemma3, "gemma3"), (gemma3, "gemma3-long"),
    (qwen2, "qwen2"), (qwen2, "qwen2-long"),
  ].filter { $0.0.isPresent || required.contains(Substring($0.0.name)) }

  static func runner(_ model: CachedModel, chunk: Int = 512) throws -> ModelRunner {
    let device = try CPUDevice()
    var options = ModelRunner.Options()
    options.kvType = .float32
    options.context = 2_304
    options.chunk = chunk
    let bundle = try ModelBundle(path: model.path, device: device)
    return try ModelRunner(bundle.model, device: device, options: options)
  }

  static func largest(_ logits: [Float]) -> Int32 {
    Int32(logits.indices.max { logits[$0] < logits[$1] } ?? -1)
  }

  /// First and last logits within 1e-3 of PyTorch's, and the same greedy continuation.
  @Test(.enabled(if: !cases.isEmpty, "no known model is in the cache"), arguments: cases)
  func followsPyTorch(_ model: CachedModel, _ name: String) throws {
    let reference = try Reference(name)
    let runner = try Self.runner(model)
    let first = try runner.extend(reference.tokens.prefix(1))
    #expect(reference.error(first, at: \.first) <= 1e-3)
    var logits = try runner.extend(reference.tokens.dropFirst())
    #expect(reference.error(logits, at: \.last) <= 1e-3)
    for token in reference.greedy {
      #expect(Self.largest(logits) == token)
      logits = try runner.extend([token])
    }
    if let likelihood = reference.negativeLogLikelihood {
      let mean = try runner.negativeLogLikelihood(reference.tokens)
      #expect(abs(mean - likelihood.mean) <= 1e-4 * likelihood.mean)
    }
  }

  /// However a prompt is cut into steps, and whatever was truncated before, the logits agree.
  @Test(.enabled(if: smolLM2.isPresent, "SmolLM2 is not in the cache"), arguments: [1, 7, 33])
  func cutsDoNotMatter(chunk: Int) throws {
    let tokens = Array(try Reference("smollm2-long").tokens.prefix(70))
    let whole = try Self.runner(Self.smolLM2)
    let cut = try Self.runner(Self.smolLM2, chunk: chunk)
    let expected = try whole.extend(tokens)
    _ = try cut.extend([1, 2, 3] + tokens.prefix(50))
    cut.truncate(to: 0)
    let found = try cut.extend(tokens)
    let scale = expected.map(abs).max() ?? 1
    #expect(zip(expected, found).allSatisfy { abs($0 - $1) <= 1e-4 * scale })
    #expect(cut.length == 70)
  }

  @Test(.enabled(if: smolLM2.isPresent, "SmolLM2 is not in the cache"))
  func badInputIsRefusedAndLosesNothing() throws {
    let runner = try Self.runner(Self.smolLM2)
    _ = try runner.extend([1, 2, 3])
    #expect(throws: ModelError.token(id: 49_152, index: 1, vocabularySize: 49_152)) {
      try runner.extend([5, 49_152])
    }
    #expect(throws: ModelError.token(id: -1, index: 0, vocabularySize: 49_152)) {
      try runner.extend([-1])
    }
    #expect(throws: ModelError.contextExceeded(tokens: 2_305, limit: 2_304)) {
      try runner.extend([Int32](repeating: 7, count: 2_302))
    }
    #expect(runner.length == 3)
  }
}
