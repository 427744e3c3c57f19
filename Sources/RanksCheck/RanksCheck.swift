import Checkpoints
import Devices
import Glibc
import LanguageModels
import Tensors
import TestModels

/// Run by `mpiexec`: compares models that its processes share with the same models whole.
///
/// The first process prints a line for each model: who has which heads, and how far logits are apart.
/// Its arguments are paths of further models. The exit code is 1 where they are farther apart than the
/// order of sums explains.
@main
enum RanksCheck {
  static func main() throws {
    let mpi = try MPI.join()
    do {
      exit(try areRight(mpi) ? 0 : 1)
    } catch {
      mpi.abort("\(error)")
    }
  }

  private static func areRight(_ mpi: MPI) throws -> Bool {
    if mpi.rank == 0 { print("\(mpi.count) ranks, \(mpi.library)") }
    var areRight = true
    for architecture in ["llama", "qwen2", "qwen3", "gemma3"] {
      for (heads, kvHeads) in [(6, 3), (6, 1)] {
        var model = TinyModel()
        model.architecture = architecture
        (model.width, model.heads, model.kvHeads) = (48, heads, kvHeads)
        if architecture == "gemma3" { model.overrides["attention.sliding_window"] = .uint32(5) }
        areRight = try model.withFile { try isRight($0, named: architecture, mpi) } && areRight
      }
    }
    for path in CommandLine.arguments.dropFirst() {
      let name = path.split(separator: "/").last ?? ""
      areRight = try isRight(path, named: String(name), mpi) && areRight
    }
    return areRight
  }

  /// Whether the model's logits are those of the whole one.
  private static func isRight(_ path: String, named name: String, _ mpi: MPI) throws -> Bool {
    let device = try CPUDevice()
    let parallelism = TensorParallelism(mpi)
    let model = try ModelBundle(path: path, device: device, parallelism: parallelism).model
    let part = model.configuration
    let parts = try mpi.texts("\(part.headCount)/\(part.kvHeadCount)/\(part.feedForwardWidth)")
    guard mpi.rank == 0 else {
      try model.follow(device: device)
      return true
    }
    let found = try logits(model, device)
    parallelism.end()
    let expected = try logits(ModelBundle(path: path, device: device).model, device)
    var distance: Float = 0
    for (found, expected) in zip(found, expected) {
      let size = expected.map(abs).max() ?? 0
      let farthest = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
      distance = max(distance, farthest / size)
    }
    let isRight = distance <= 1e-5
    print(
      "\(isRight ? "ok  " : "FAIL") \(name), heads/kv heads/d_ff "
        + "\(parts.map { $0 ?? "" }.joined(separator: " + ")): "
        + "logits differ by \(distance) of the largest")
    return isRight
  }

  /// The logits after a prompt, after a token, and after two more.
  private static func logits(_ model: LanguageModel, _ device: CPUDevice) throws -> [[Float]] {
    var options = ModelRunner.Options()
    options.kvType = .float32
    let runner = try ModelRunner(model, device: device, options: options)
    return [
      try runner.extend([72, 101, 108, 108, 111, 44, 32, 119]), try runner.extend([33]),
      try runner.extend([10, 200]),
    ]
  }
}
