import Devices
import Glibc
import Inference
import LanguageModels
import StubCUDA
import Tensors
import TestModels
import Tokenizers

/// Calls of the driver that fail while a step is in flight: its sequences end, and the engine goes on.
struct EngineFailureCase {
  /// The call.
  let call: String
  var name: String { "engine-failure-\(call)" }

  static let all = ["cuGraphLaunch", "cuMemcpyDtoHAsync", "cuMemcpyHtoDAsync"].map {
    EngineFailureCase(call: $0)
  }

  /// Whether requests before and after have the same tokens, and those in between the first of them.
  func check(_ device: CheckDevice) throws -> Bool {
    // A GPU does not fail when it is told to.
    guard device.stub != nil else { return true }
    let before = stub_cuda_alive()
    defer {
      stub_cuda_fail(call, 0, 0)
      for _ in 0..<1000 where stub_cuda_alive() > before + device.moduleCount { usleep(1000) }
    }
    return try TinyModel().withFile { path in
      var options = EngineOptions()
      options.kvType = .float32
      (options.context, options.tokenBudget, options.maxRunning) = (96, 24, 4)
      let engine = try InferenceEngine(
        ModelBundle(path: path, device: device.host, gpu: device.models()), device: device.host,
        options: options)
      let requests = (0..<2).map { number in
        var request = InferenceRequest(prompt: (0..<18).map { TokenID($0 * 7 % 11 + number) })
        request.maxTokens = 8
        request.ignoresEndOfGeneration = true
        return (number: number, request: request, most: Int?.none)
      }
      let whole = try EngineAnswers(of: engine, requests)
      stub_cuda_fail(call, 700, 4)
      let broken = try EngineAnswers(of: engine, requests)
      stub_cuda_fail(call, 0, 0)
      let again = try EngineAnswers(of: engine, requests)
      again.stop(engine)
      return whole.tokens.values.allSatisfy { $0.count == 8 } && again.tokens == whole.tokens
        && (whole.failures + again.failures).isEmpty && broken.failures.count == 2
        && broken.tokens.allSatisfy { whole.tokens[$0.key]?.starts(with: $0.value) == true }
        && engine.statistics().usedPages == 0 && engine.statistics().stepsAhead > 0
    }
  }
}
