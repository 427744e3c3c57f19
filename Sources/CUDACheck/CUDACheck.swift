import Attention
import Devices
import Foundation
import Glibc

/// Checks the generated CUDA kernels, with a GPU and without.
///
///     cuda-check [FILTER]           the kernels' text as C++ on this processor, against Double
///     cuda-check --gpu [FILTER]     the same cases on the GPU
///     cuda-check --pack DIRECTORY ARCHITECTURE  a kernel cache with all that these need, by NVRTC
///     cuda-check --compile NVDISASM [FILTER]  the texts compiled by NVRTC, their instructions read
///     cuda-check --write DIRECTORY  the texts, one file for each kernel and architecture
///
/// The first needs a C++ compiler (`CXX`, by default clang++). `ATTENTION_CHECK_MODEL` names a model, a file
/// or a folder, to be run too. Prints a line for each case; the
/// exit status is 1 where anything is wrong, and 2 where there is no GPU.
@main
enum CUDACheck {
  static func main() {
    let arguments = Array(CommandLine.arguments.dropFirst())
    func argument(_ i: Int) -> String { i < arguments.count ? arguments[i] : "" }
    do {
      switch argument(0) {
      case "--write": try write(to: argument(1))
      case "--compile":
        let check = CompileCheck(compiler: try NVRTC(), disassembler: argument(1))
        exit(try check.run(argument(2)) ? 0 : 1)
      case "--gpu": exit(try onGPU(argument(1)))
      case "--pack": exit(try pack(into: argument(1), for: argument(2)) ? 0 : 1)
      default: exit(try emulate(argument(0)) ? 0 : 1)
      }
    } catch {
      print("cuda-check: \(error)")
      exit(1)
    }
  }

  /// Runs every case on the first GPU, with its kernels from the cache or by NVRTC: the exit status.
  private static func onGPU(_ filter: String) throws -> Int32 {
    let context: CUDAContext
    do {
      context = try CUDAContext(CUDADriver())
    } catch {
      print("cuda-check: no GPU to check: \(error)")
      return 2
    }
    let compiler = CUDACompiler(context)
    let device = try CheckDevice(context, host: CPUDevice(threads: 1), compiler: compiler)
    print(
      "\(context.device.name), \(context.architecture.rawValue), CUDA \(context.driver.version); "
        + (compiler.unavailable.map { "kernels from the cache alone: \($0)" } ?? "NVRTC"))
    let isRight = Check.run(filter, on: context.architecture) { check in
      try check.body(device)
    }
    return isRight ? 0 : 1
  }

  /// Has every kernel that the checks ask for on an architecture compiled into a cache.
  ///
  /// The cases run on the stub driver, whose launches do nothing, so that the texts are the very same.
  private static func pack(into directory: String, for name: String) throws -> Bool {
    guard let architecture = CUDAArchitecture(rawValue: name), !directory.isEmpty else {
      let names = CUDAArchitecture.allCases.map(\.rawValue).joined(separator: ", ")
      print("cuda-check: --pack DIRECTORY ARCHITECTURE, one of \(names)")
      return false
    }
    let (compiler, cache) = (try NVRTC(), CUDAKernelCache(directory: directory))
    let host = try CPUDevice(threads: 1)
    var (codes, failures) = ([CUDASource: Int](), 0)
    for check in Check.all where check.isFor(architecture) {
      var failure: (any Error)?
      try CheckDevice.withStub(architecture, host: host) { source throws(CUDAFailure) in
        do throws(NVRTC.Failure) {
          codes[source] = try compiler.code(of: source, cache: cache).count
        } catch {
          failure = error
          throw .kernel(error)
        }
      } body: { device in
        // What such a device has not computed is of no interest.
        _ = try? check.body(device)
      }
      if let failure {
        failures += 1
        print("WRONG \(check.name): \(failure)")
      }
    }
    let size = codes.values.reduce(0, +)
    print(
      "\(codes.count) kernels for \(name) by NVRTC \(compiler.version.major)."
        + "\(compiler.version.minor), \(size >> 20) MiB of code in \(directory)")
    return failures == 0
  }

  /// Runs every case on the stub driver, as a device of the case's architecture.
  private static func emulate(_ filter: String) throws -> Bool {
    let directory = FileManager.default.temporaryDirectory
      .appendingPathComponent("cuda-check-\(getpid())")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let emulator = Emulator(
      compiler: ProcessInfo.processInfo.environment["CXX"] ?? "clang++", directory: directory.path)
    let host = try CPUDevice(threads: 1)
    return Check.run(filter) { check in
      try CheckDevice.withEmulated(check.architecture, emulator, host: host, check.body)
    }
  }

  /// Writes `name.architecture.cu`.
  private static func write(to directory: String) throws {
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
    for text in try KernelText.all("") {
      guard case .success(let source) = text.source else { continue }
      try source.text.write(
        toFile: "\(directory)/\(text.name).\(text.architecture.rawValue).cu", atomically: true,
        encoding: .utf8)
    }
  }
}
