import Devices
import Inference
import LanguageModels
import ModelStore

extension ModelOptions {
  /// Finds, fetches if need be, and loads the model.
  func load() throws -> (ModelBundle, CPUDevice) {
    let device = try CPUDevice(threads: threads)
    let bar = ProgressBar()
    let location = try ModelStore().locate(model ?? ModelStore.defaultModel) { bar.update($0) }
    let bundle = try ModelBundle(
      path: location.path, precision: precision.linear, device: device)
    return (bundle, device)
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
}
