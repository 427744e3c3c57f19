import ArgumentParser
import Devices
import Glibc
import Inference
import LanguageModels
import ModelStore

extension ModelOptions {
  /// Finds, fetches if need be, and loads the model.
  ///
  /// Where several processes run the model, this one's part of it; only the first one's call returns.
  func load() throws -> (ModelBundle, CPUDevice) {
    let device = try place.device()
    guard let mpi = try ranks.join() else {
      return (try loaded(path(), device), device)
    }
    let parallelism = TensorParallelism(mpi)
    // What the first one fetches the others find.
    try mpi.together { if mpi.rank == 0 { _ = try path() } }
    let bundle = try mpi.together { try loaded(path(), device, parallelism) }
    if mpi.rank > 0 { try follow(bundle.model, mpi, device: device) }
    mpi.atEnd { parallelism.end() }
    return (bundle, device)
  }

  private func path() throws -> String {
    let bar = ProgressBar()
    return try ModelStore().locate(model ?? ModelStore.defaultModel) { bar.update($0) }.path
  }

  private func loaded(
    _ path: String, _ device: CPUDevice, _ parallelism: TensorParallelism? = nil
  ) throws -> ModelBundle {
    try ModelBundle(
      path: path, precision: precision.linear, device: device, parallelism: parallelism)
  }

  /// Does what the first process says, to its end.
  private func follow(_ model: LanguageModel, _ mpi: MPI, device: CPUDevice) throws -> Never {
    // A launcher may pass these on to all; the first process decides what comes of them.
    for number in [SIGINT, SIGTERM] { signal(number, SIG_IGN) }
    do { try model.follow(device: device) } catch { mpi.abort("\(error)") }
    throw ExitCode.success
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
