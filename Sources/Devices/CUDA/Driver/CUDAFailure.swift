/// Why something cannot be done on a GPU.
public enum CUDAFailure: Error, Hashable, Sendable {
  /// The driver's library is not installed.
  case noDriver(reason: String)
  /// The driver is older than what is needed, as the versions of CUDA that they belong to.
  case tooOld(driver: String, needed: String)
  /// A library beside the driver is not installed.
  case noLibrary(String, reason: String)
  /// What was asked for does not exist.
  case unsupported(String)
  /// A library lacks a function.
  case missingFunction(String, library: String)
  /// The driver found no device, or not that many.
  case noDevice(index: Int, count: Int)
  /// There are no kernels for the device's compute capability.
  case architecture(device: String, capability: String)
  /// The run-time compiler is missing, or fails.
  case noCompiler(NVRTC.Unavailable)
  /// A kernel has no code.
  case kernel(NVRTC.Failure)
  /// A launch's arguments are of other sizes in bytes than the kernel's parameters.
  case arguments(kernel: String, expected: [Int], found: [Int])
  /// The device has not that much memory left.
  case outOfMemory(bytes: Int, free: Int, of: Int)
  /// A call failed with CUDA's error number, whose name follows.
  case failed(call: String, code: Int32, name: String)
}

extension CUDAFailure: CustomStringConvertible {
  /// What is wrong, and what would help.
  public var description: String {
    switch self {
    case .noDriver(let reason): "no CUDA driver on this machine (\(reason))"
    case .noLibrary(let name, let reason): "no \(name) on this machine (\(reason))"
    case .unsupported(let what): what
    case .tooOld(let driver, let needed):
      "the CUDA driver is of version \(driver); at least \(needed) is needed"
    case .missingFunction(let name, let library):
      "\(library) has no \(name); it is too old, or another library"
    case .noDevice(let index, let count):
      count == 0
        ? "the CUDA driver is installed but finds no device"
        : "there is no CUDA device \(index); this machine has \(count)"
    case .architecture(let device, let capability):
      "no kernels for \(device) of compute capability \(capability); expected 8.0 to 10.x"
    case .noCompiler(let reason): "\(reason)"
    case .kernel(let reason): "\(reason)"
    case .arguments(let kernel, let expected, let found):
      "the kernel \(kernel) has parameters of \(expected) bytes; the launch gives \(found)"
    case .outOfMemory(let bytes, let free, let all):
      "no memory for \(bytes) bytes on the GPU: \(free) of \(all) are free"
    case .failed(let call, let code, let name): "\(call) failed with error \(code), \(name)"
    }
  }
}
