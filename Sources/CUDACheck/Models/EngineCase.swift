import Devices
import Dispatch
import Glibc
import Inference
import LanguageModels
import StubCUDA
import Synchronization
import Tensors
import TestModels
import Tokenizers

/// Several requests through the engine, on the device and on the processor, everything in 32-bit floats:
/// the tokens are the same, whatever is shared, guessed or captured.
struct EngineCase {
  let name: String
  /// Whether guesses branch and shared pages are read once.
  let composes: Bool
  /// Whether only the last tokens are seen, and turned where they are read.
  let window: Int?

  static let all = [
    EngineCase(name: "engine-lookup", composes: false, window: nil),
    EngineCase(name: "engine-branching", composes: true, window: nil),
    EngineCase(name: "engine-window", composes: false, window: 24),
  ]

  /// What has come of requests.
  private final class Answers: Sendable {
    let tokens = Mutex<[Int: [TokenID]]>([:])
    let left = DispatchGroup()
  }

  /// The tokens of each request's sequences, on the device and on the processor, and a device's pages.
  private func tokens(_ bundle: ModelBundle, _ device: CheckDevice) throws -> [[TokenID]] {
    var options = EngineOptions()
    options.kvType = .float32
    options.context = 96
    options.tokenBudget = 24
    options.maxRunning = 4
    options.composes = composes
    options.window = window
    if window == nil { options.speculation = .promptLookup(tokens: 3) }
    if bundle.model.gpu == nil { options.pageCount = 64 }
    let engine = try InferenceEngine(bundle, device: device.host, options: options)
    // All that four sequences can use fits into the device's memory.
    guard bundle.model.gpu == nil || engine.statistics().pages == 4 * 6 else { return [] }
    let requests = (0..<3).map { number in
      // A common beginning of more than a page, and tokens that occur again.
      let prompt = (0..<20).map { TokenID($0 * 7 % 11 + 65) } + [TokenID(97 + number), 66, 73]
      var request = InferenceRequest(prompt: prompt)
      request.n = number == 1 ? 2 : 1
      request.maxTokens = 14
      request.ignoresEndOfGeneration = true
      return request
    }
    let answers = Answers()
    let end = answers.left
    for (number, request) in requests.enumerated() {
      let stream = try engine.submit(request)
      end.enter()
      Task {
        for await event in stream {
          answers.tokens.withLock {
            $0[2 * number + event.sequence, default: []] += event.tokens.map(\.id)
            if case .failed(let text)? = event.finish { print(text) }
          }
        }
        answers.left.leave()
      }
    }
    end.wait()
    end.enter()
    Task {
      await engine.stop(deadline: .zero)
      answers.left.leave()
    }
    end.wait()
    return answers.tokens.withLock { found in found.sorted { $0.key < $1.key }.map(\.value) }
  }

  /// The share of tokens that differ.
  func check(_ device: CheckDevice) throws -> Double {
    let before = stub_cuda_alive()
    let (expected, found) = try TinyModel().withFile { path in
      let gpu = try device.models()
      return (
        try tokens(ModelBundle(path: path, device: device.host), device),
        try tokens(ModelBundle(path: path, device: device.host, gpu: gpu), device)
      )
    }
    // The engine's thread gives everything back when it has ended.
    for _ in 0..<1000 where device.stub != nil && stub_cuda_alive() > before + device.moduleCount {
      usleep(1000)
    }
    try device.synchronize()
    let pairs = zip(expected.joined(), found.joined())
    let total = 4 * 14
    guard expected.joined().count == total, found.joined().count == total else { return 1 }
    return Double(pairs.count { $0 != $1 }) / Double(total)
  }
}
