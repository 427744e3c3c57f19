import Attention
import Devices
import Foundation
import Glibc
import Tensors

/// Every kernel compiled for every architecture, by the compiler that a GPU's machine would use.
///
/// What must hold without a GPU: the compiler takes the text, no register is spilt, and
/// tensor-core kernels have the instructions they are written for.
struct CompileCheck {
  let compiler: NVRTC
  /// `nvdisasm`, which shows a kernel's instructions; nil leaves them unread.
  let disassembler: String?

  /// A kernel's figures.
  struct Report {
    var registers: Int
    var spilt: Int
    var milliseconds: Double
    var missing: [String]
  }

  /// Compiles the kernels of all cases whose name contains a filter.
  ///
  /// A text is compiled once. Prints a line for each, and the slowest; true where all is well. A case
  /// without a kernel for an architecture is wrong unless it says so, and then too if there is one.
  func run(_ filter: String) throws -> Bool {
    var (seen, compiled) = (Set<CUDASource>(), Set<CUDAArchitecture>())
    var (failures, unsupported, times) = (0, 0, [Double]())
    func report(_ isRight: Bool, _ text: KernelText, _ what: String) {
      if !isRight { failures += 1 }
      print("\(isRight ? "ok   " : "WRONG") \(text.name) \(text.architecture.rawValue): \(what)")
      fflush(nil)
    }
    for text in try KernelText.all(filter)
    where compiler.architectures.contains(text.architecture.number) {
      switch text.source {
      case .failure(let error):
        unsupported += 1
        report(text.isDeclaredUnsupported, text, "none: \(error)")
      case .success where text.isDeclaredUnsupported:
        report(false, text, "declared unsupported, and yet there is a kernel")
      case .success(let source):
        guard seen.insert(source).inserted else { continue }
        compiled.insert(text.architecture)
        do {
          let found = try check(source, expected: text.expected)
          times.append(found.milliseconds)
          let lacks = found.missing.map { ", no \($0)" }.joined()
          report(
            found.spilt == 0 && found.missing.isEmpty, text,
            "\(found.registers) registers, \(found.spilt) bytes spilt\(lacks), "
              + "\(Int(found.milliseconds)) ms")
        } catch {
          report(false, text, "\(error)")
        }
      }
    }
    print(
      "\(seen.count) kernels, \(unsupported) that an architecture has not, \(failures) wrong; "
        + "median \(Int(times.median)) ms, "
        + "slowest \(Int(times.max() ?? 0)) ms, "
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
