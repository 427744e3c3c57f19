import Devices
import Inference
import LanguageModels
import Tensors
import TestModels
import Tokenizers

/// A session on the device and on the processor, in 32-bit floats: two turns, the second of which goes on in the
/// cache, of the likeliest tokens and of any.
struct SessionCase {
  let name: String
  let temperature: Float

  static let all = [
    SessionCase(name: "session-greedy", temperature: 0),
    SessionCase(name: "session-sampled", temperature: 0.9),
  ]

  /// The share of tokens that differ.
  func check(_ device: CheckDevice) throws -> Double {
    let (expected, found) = try TinyModel().withFile { path in
      let gpu = try device.models()
      return (
        try tokens(ModelBundle(path: path, device: device.host), device),
        try tokens(ModelBundle(path: path, device: device.host, gpu: gpu), device)
      )
    }
    guard expected.count == 12, found.count == 12 else { return 1 }
    return Double(zip(expected, found).count { $0 != $1 }) / 12
  }

  private func tokens(_ bundle: ModelBundle, _ device: CheckDevice) throws -> [TokenID] {
    var options = ModelRunner.Options()
    options.kvType = .float32
    // The prompt in three parts, of which the last is drawn from.
    (options.context, options.chunk) = (64, 8)
    let session = try Session(bundle, device: device.host, options: options)
    var generation = GenerationOptions()
    generation.maxTokens = 6
    generation.ignoresEndOfGeneration = true
    generation.sampling.temperature = temperature
    generation.sampling.seed = 3
    var prompt = (0..<20).map { TokenID($0 * 7 % 11 + 65) }
    var tokens: [TokenID] = []
    for _ in 0..<2 {
      let answer = try session.generate(prompt, options: generation)
      tokens += answer.tokens
      prompt += answer.tokens + [66]
    }
    return tokens
  }
}
