import ArgumentParser
import Devices
import Glibc
import Inference
import LanguageModels
import ModelStore
import Tensors

extension ModelOptions {
  /// Finds, fetches if need be, and loads the model.
  ///
  /// Where several processes run the model, this one's part of it; only the first one's call returns.
  func load() throws -> (ModelBundle, CPUDevice) {
    let device = try place.device()
    guard let mpi = try ranks.join() else {
      return (try loaded(path(), device, gpu: self.device.open()), device)
    }
    let parallelism = TensorParallelism(mpi)
    // What the first one fetches the others find.
    try mpi.together { if mpi.rank == 0 { _ = try path() } }
    let gpu = try mpi.together { try self.device.open(rank: mpi.rank) }.map { try joined($0, mpi) }
    let bundle = try mpi.together { try loaded(path(), device, gpu: gpu, parallelism) }
    if mpi.rank > 0 { try follow(bundle.model, mpi, device: device) }
    mpi.atEnd { parallelism.end() }
    return (bundle, device)
  }

  /// A GPU as a member of the group of all ranks'.
  private func joined(_ gpu: CUDADevice, _ mpi: MPI) throws -> CUDADevice {
    var id = try mpi.together {
      mpi.rank == 0 ? try NCCL.newID() : [UInt8](repeating: 0, count: NCCL.idBytes)
    }
    try id.withUnsafeMutableBytes { try mpi.broadcast($0) }
    return try mpi.together {
      try CUDADevice(gpu, joining: NCCL(gpu.context, rank: mpi.rank, of: mpi.count, id: id))
    }
  }

  private func path() throws -> String {
    let bar = ProgressBar()
    return try ModelStore().locate(model ?? ModelStore.defaultModel) { bar.update($0) }.path
  }

  private func loaded(
    _ path: String, _ device: CPUDevice, gpu: CUDADevice?, _ parallelism: TensorParallelism? = nil
  ) throws -> ModelBundle {
    try ModelBundle(
      path: path, precision: precision.linear, device: device, gpu: gpu, parallelism: parallelism)
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
    return try Session(bundle, device: device, options: runnerOptions(bundle.model))
  }

  /// How the cache is stored.
  func runnerOptions(_ model: LanguageModel) -> ModelRunner.Options {
    var options = ModelRunner.Options()
    options.kvType = storedType(model)
    options.context = context
    return options
  }

  /// The cache's element type.
  func storedType(_ model: LanguageModel) -> ElementType {
    (kvType ?? (model.gpu == nil ? .f16 : .bf16)).elementType
  }
}

extension LanguageModel {
  /// What runs the model, in a word or two.
  func deviceName(_ processor: CPUDevice) -> String {
    gpu?.context.device.name ?? processor.instructionSet.rawValue
  }
}
