import Devices
import Inference
import LanguageModels
import ModelStore

extension ModelOptions {
  /// Finds, fetches if need be, and loads the model.
  func load() throws -> (ModelBundle, CPUDevice) {
    let device = try CPUDevice(threads: threads)
    let path = model ?? "/root/.cache/swift-attention/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf"
    return (try ModelBundle(path: path, device: device), device)
  }

  /// A session with an empty cache.
  func session() throws -> Session {
    let (bundle, device) = try load()
    return try Session(bundle, device: device, options: runnerOptions)
  }

  /// How the cache is stored.
  var runnerOptions: ModelRunner.Options {
    var options = ModelRunner.Options()
    options.kvType = kvType.elementType
    options.context = context
    return options
  }

  /// How activations are multiplied, as tables name it.
  var mode: String { fast ? "fast" : "exact" }
}
