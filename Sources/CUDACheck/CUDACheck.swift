import Attention
import Devices
import Foundation
import Glibc

/// Checks the generated CUDA attention kernels without a GPU.
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
    var failures = 0
    let cases = KernelCase.all.filter { filter.isEmpty || $0.name.contains(filter) }
    for kernelCase in cases {
      do {
        let error = try kernelCase.check(emulator, device)
        let isRight = error.output <= kernelCase.limit && error.lse <= kernelCase.limit
        if !isRight { failures += 1 }
        print(
          "\(isRight ? "ok   " : "WRONG") \(kernelCase.name): output \(error.output), log-sum-exp \(error.lse)"
        )
      } catch {
        failures += 1
        print("WRONG \(kernelCase.name): \(error)")
      }
      fflush(nil)
    }
    print("\(cases.count) cases, \(failures) wrong")
    return failures == 0 && !cases.isEmpty
  }

  /// Writes `name.architecture.cu`.
  private static func write(to directory: String) throws {
    let device = try CPUDevice(threads: 1)
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true)
    for kernelCase in KernelCase.all {
      let material = try KernelCase.Material(kernelCase, device)
      for architecture in CUDAArchitecture.allCases {
        guard
          let kernel = try? material.plan.cudaKernel(
            queryType: kernelCase.queryType, storedType: kernelCase.storedType,
            tile: kernelCase.tile, architecture: architecture)
        else { continue }
        try kernel.source.text.write(
          toFile: "\(directory)/\(kernelCase.name).\(architecture.rawValue).cu", atomically: true,
          encoding: .utf8)
      }
    }
  }
}
