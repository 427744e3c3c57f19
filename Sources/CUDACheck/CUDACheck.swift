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
