import Attention
import Devices
import Glibc
import LanguageModels
import Tensors
import Tokenizers

/// A model that `ATTENTION_CHECK_MODEL` names, a file or a folder: a prompt and what follows it greedily,
/// beside the processor with the same weights dequantised.
struct FileCase {
  let path: String
  var name: String { String(path.split(separator: "/").last ?? "") }

  static var all: [FileCase] {
    getenv("ATTENTION_CHECK_MODEL").map { [FileCase(path: String(cString: $0))] } ?? []
  }

  /// How far a logit may be from the processor's, relative to the row's largest.
  static let limit = 5e-2

  /// The largest difference of a logit relative to its row's largest, and the tokens that the device
  /// draws; infinite where the processor draws others.
  func check(_ device: CheckDevice) throws -> (error: Double, tokens: [TokenID]) {
    let host = device.host
    let processor = try ModelBundle(path: path, device: host)
    let gpu = try ModelBundle(
      path: path, precision: .fast, device: host, gpu: device.models()
    ).model
    var options = ModelRunner.Options()
    (options.context, options.chunk) = (64, 16)
    options.kvType = .float32
    let expected = try ModelRunner(processor.model, device: host, options: options)
    options.kvType = .bfloat16
    let found = try ModelRunner(gpu, device: host, options: options)
    var next = processor.tokenizer.encode("The capital of France is", addSpecialTokens: true)
    var (worst, tokens) = (0.0, [TokenID]())
    for _ in 0..<5 {
      let (a, b) = (try expected.extend(next), try found.extend(next))
      try device.synchronize()
      worst = max(worst, ModelCase.relativeError(b, a))
      guard let token = b.indices.max(by: { b[$0] < b[$1] }) else { break }
      if token != a.indices.max(by: { a[$0] < a[$1] }) { worst = .infinity }
      tokens.append(TokenID(token))
      next = [TokenID(token)]
    }
    return (worst, tokens)
  }
}
