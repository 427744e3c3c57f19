import Attention
import Devices
import Foundation
import Glibc
import Tensors

/// Every kernel compiled for every architecture, by the compiler that a GPU's machine would use.
///
/// What must hold without a GPU: the compiler takes the text, at most a few registers are spilt, and
/// tensor-core kernels have the instructions they are written for.
struct CompileCheck: ~Copyable {
  let compiler: NVRTC
  /// `nvdisasm`, which shows a kernel's instructions; nil leaves them unread.
  let disassembler: String?

  /// Bytes of spilt registers that are no error.
  private static let tolerated = 32

  /// A kernel's figures.
  struct Report {
    var registers: Int
    var spilt: Int
    var milliseconds: Double
    var missing: [String]
  }

  /// Compiles the kernels of all cases whose name contains a filter.
  ///
  /// A text is compiled once. Prints a line for each, and the slowest; true where all is well.
  func run(_ filter: String) throws -> Bool {
    let device = try CPUDevice(threads: 1)
    var (seen, compiled) = (Set<CUDASource>(), Set<CUDAArchitecture>())
    var (failures, times) = (0, [Double]())
    for kernelCase in KernelCase.all where filter.isEmpty || kernelCase.name.contains(filter) {
      let material = try KernelCase.Material(kernelCase, device)
      for architecture in CUDAArchitecture.allCases {
        guard
          compiler.architectures.contains(architecture.number),
          let kernel = try? material.plan.cudaKernel(
            queryType: kernelCase.queryType, storedType: kernelCase.storedType,
            tile: kernelCase.tile, architecture: architecture),
          seen.insert(kernel.source).inserted
        else { continue }
        compiled.insert(architecture)
        let name = "\(kernelCase.name) \(architecture.rawValue)"
        do {
          let report = try check(
            kernel.source, expected: Self.expected(kernelCase))
          times.append(report.milliseconds)
          let isRight = report.spilt <= Self.tolerated && report.missing.isEmpty
          if !isRight { failures += 1 }
          let lacks = report.missing.map { ", no \($0)" }.joined()
          print(
            "\(isRight ? "ok   " : "WRONG") \(name): \(report.registers) registers, "
              + "\(report.spilt) bytes spilt\(lacks), \(Int(report.milliseconds)) ms")
        } catch {
          failures += 1
          print("WRONG \(name): \(error)")
        }
        fflush(nil)
      }
    }
    times.sort()
    print(
      "\(seen.count) kernels, \(failures) wrong; "
        + "median \(Int(times.isEmpty ? 0 : times[times.count / 2])) ms, "
        + "slowest \(Int(times.last ?? 0)) ms, "
        + "NVRTC \(compiler.version.major).\(compiler.version.minor)")
    let absent = CUDAArchitecture.allCases.filter { !compiled.contains($0) }
    for architecture in absent { print("WRONG no kernel for \(architecture.rawValue)") }
    return failures == 0 && (absent.isEmpty || !filter.isEmpty && !seen.isEmpty)
  }

  private func check(_ source: CUDASource, expected: [String]) throws -> Report {
    let began = ContinuousClock.now
    let output = try compiler.compile(source)
    let elapsed = ContinuousClock.now - began
    var missing: [String] = []
    if let disassembler, !expected.isEmpty {
      let code = try Self.instructions(of: output.cubin, by: disassembler)
      missing = expected.filter { !code.contains($0) }
    }
    guard let registers = Self.largest(/Used (\d+) registers/, in: output.log),
      let spilt = Self.largest(/(\d+) bytes spill stores/, in: output.log)
    else { throw Emulator.Failure.library("NVRTC does not say what it spilt:\n\(output.log)") }
    return Report(
      registers: registers, spilt: spilt, milliseconds: elapsed / .milliseconds(1),
      missing: missing)
  }

  /// The instructions that a kernel is written for.
  ///
  /// What is stored in 8 bits or goes through a functor comes through registers.
  private static func expected(_ kernelCase: KernelCase) -> [String] {
    let isCopied =
      kernelCase.storedType.blockBytes > 1
      && !kernelCase.variant.functors.contains { $0.kind == .key || $0.kind == .value }
    return switch kernelCase.tile {
    case .cores: []
    case .tensor: isCopied ? ["HMMA", "LDGSTS"] : ["HMMA"]
    case .warpGroups(_, let usesTMA): usesTMA ? ["HGMMA", "UTMALDG"] : ["HGMMA"]
    }
  }

  /// The largest of the numbers that a pattern finds.
  private static func largest(_ pattern: Regex<(Substring, Substring)>, in log: String) -> Int? {
    log.matches(of: pattern).compactMap { Int($0.1) }.max()
  }

  private static func instructions(of cubin: [UInt8], by disassembler: String) throws -> String {
    let file = FileManager.default.temporaryDirectory
      .appendingPathComponent("cuda-check-\(getpid()).cubin")
    try Data(cubin).write(to: file)
    defer { try? FileManager.default.removeItem(at: file) }
    let (status, text) = try Tool.run(disassembler, ["-c", file.path], reading: .output)
    guard status == 0 else {
      throw Emulator.Failure.library("\(disassembler) failed: \(status)")
    }
    return text
  }
}
