import ArgumentParser
import Devices
import ModelStore

/// What runs a model.
enum DeviceChoice: Hashable, ExpressibleByArgument {
  /// A GPU where one can be used, otherwise the processor.
  case automatic
  case cpu
  case cuda(Int)

  init?(argument: String) {
    switch argument {
    case "auto": self = .automatic
    case "cpu": self = .cpu
    case "cuda": self = .cuda(0)
    default:
      guard argument.hasPrefix("cuda:"), let number = Int(argument.dropFirst(5)), number >= 0 else {
        return nil
      }
      self = .cuda(number)
    }
  }

  var defaultValueDescription: String { "auto" }

  /// The GPU that is to run the model, nil for the processor.
  ///
  /// - Parameter rank: The number of this process where several share the model: each has a GPU of its own,
  ///   from the one asked for on. They stay on processors unless GPUs are asked for.
  func open(rank: Int? = nil) throws -> CUDADevice? {
    let cache = CUDAKernelCache(directory: ModelStore().cache + "/kernels")
    return switch self {
    case .cpu: nil
    case .automatic: rank == nil ? try? CUDADevice(cache: cache) : nil
    case .cuda(let first): try CUDADevice(index: first + (rank ?? 0), cache: cache)
    }
  }
}
