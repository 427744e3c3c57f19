import Attention
import Devices
import Foundation
import Glibc

/// Checks the generated CUDA kernels without a GPU.
///
///     cuda-check [FILTER]           the kernels' text as C++ on this processor, against Double
///     cuda-check --compile NVDISASM [FILTER]  the texts compiled by NVRTC, their instructions read
///     cuda-check --write DIRECTORY  the texts, one file for each kernel and architecture
///
/// The first needs a C++ compiler (`CXX`, by default clang++). Prints a line for each case; the
/// exit status is 1 where anything is wrong.
@main
enum CUDACheck {
  static func main() {
    let arguments = CommandLine.arguments.dropFirst()
    do {
      if arguments.first == "--write", let directory = arguments.dropFirst().first {
        try write(to: directory)
      } else if arguments.first == "--compile" {
        let rest = Array(arguments.dropFirst())
        let check = CompileCheck(compiler: try NVRTC(), disassembler: rest.first)
        exit(try check.run(rest.count > 1 ? rest[1] : "") ? 0 : 1)
      } else {
        exit(try emulate(arguments.first ?? "") ? 0 : 1)
      }
    } catch {
      print("cuda-check: \(error)")
      exit(1)
    }
  }

  private static func emulate(_ filter: String) throws -> Bool {
    let directory = FileManager.default.temporaryDirectory
      .appendingPathComponent("cuda-check-\(getpid())")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }
    let emulator = Emulator(
      compiler: ProcessInfo.processInfo.environment["CXX"] ?? "clang++", directory: directory.path)
    let device = try CPUDevice(threads: 1)
    var (count, failures) = (0, 0)
    func check(_ name: String, _ body: () throws -> (isRight: Bool, what: String)) {
      guard filter.isEmpty || name.contains(filter) else { return }
      count += 1
      do {
        let (isRight, what) = try body()
        if !isRight { failures += 1 }
        print("\(isRight ? "ok   " : "WRONG") \(name): \(what)")
      } catch {
        failures += 1
        print("WRONG \(name): \(error)")
      }
      fflush(nil)
    }
    for kernelCase in KernelCase.all {
      check(kernelCase.name) {
        let error = try kernelCase.check(emulator, device)
        return (
          error.output <= kernelCase.limit && error.lse <= kernelCase.limit,
          "output \(error.output), log-sum-exp \(error.lse)"
        )
      }
    }
    for operatorCase in OperatorCase.all {
      check(operatorCase.name) {
        let operators = try operatorCase.operators(.sm80)
        let error = try operatorCase.check(emulator.load(operators.source), operators, device)
        return (error <= operatorCase.limit, "error \(error)")
      }
    }
    for runCase in RunCase.all {
      check(runCase.name) {
        let error = try runCase.check(emulator, device)
        return (error <= 2e-2, "error \(error)")
      }
    }
    print("\(count) cases, \(failures) wrong")
    return failures == 0 && count > 0
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
