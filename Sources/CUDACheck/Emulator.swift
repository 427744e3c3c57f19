import Devices
import Foundation
import Glibc

/// Runs a kernel's text on this processor: compiled as C++ with `emulation.h`, loaded, called.
struct Emulator {
  /// A C++ compiler: `CXX`, else clang++, else g++ of at least version 13.
  let compiler: String
  let directory: String

  enum Failure: Error, CustomStringConvertible {
    case compiler(String, log: String)
    case library(String)
    case noKernel(String)

    var description: String {
      switch self {
      case .compiler(let name, let log): "\(name) does not compile as C++:\n\(log)"
      case .library(let message): message
      case .noKernel(let name): "the text has no kernel \(name)"
      }
    }
  }

  /// A text that runs here.
  final class Program {
    typealias Arguments = UnsafeMutablePointer<UnsafeMutableRawPointer?>
    private typealias Launch =
      @convention(c) (UnsafePointer<CChar>, Arguments?, Int32, Int32, Int32) -> Int32
    private typealias Parameters =
      @convention(c) (UnsafePointer<CChar>, UnsafeMutablePointer<Int32>) -> Int32
    private let library: UnsafeMutableRawPointer
    private let call: Launch
    private let describe: Parameters

    fileprivate init(_ file: String) throws {
      guard let library = dlopen(file, RTLD_NOW | RTLD_LOCAL), let call = dlsym(library, "launch"),
        let describe = dlsym(library, "parameters")
      else { throw Failure.library(dlerror().map { String(cString: $0) } ?? "cannot load \(file)") }
      self.library = library
      self.call = unsafeBitCast(call, to: Launch.self)
      self.describe = unsafeBitCast(describe, to: Parameters.self)
    }

    deinit { dlclose(library) }

    /// The sizes of a kernel's parameters.
    func parameters(of name: String) throws(Failure) -> [Int32] {
      var sizes = [Int32](repeating: 0, count: 64)
      let count = describe(name, &sizes)
      if count < 0 { throw .noKernel(name) }
      return Array(sizes[..<Int(count)])
    }

    /// Runs a launch, whose arguments lie at the given addresses, to its end.
    func run(_ name: String, _ arguments: Arguments?, blocks: Int32, threads: Int32, bytes: Int32)
      throws(Failure)
    {
      if call(name, arguments, blocks, threads, bytes) < 0 { throw .noKernel(name) }
    }
  }

  /// The programs so far: many cases have the same texts.
  private final class Programs {
    var bySource: [CUDASource: Program] = [:]
  }
  private let programs = Programs()

  /// Uses a compiler, and a directory for what it makes.
  init(compiler: String, directory: String) {
    (self.compiler, self.directory) = (compiler, directory)
  }

  /// A source's program, compiled once.
  func load(_ source: CUDASource) throws -> Program {
    if let program = programs.bySource[source] { return program }
    let program = try compile(source)
    programs.bySource[source] = program
    return program
  }

  private func compile(_ source: CUDASource) throws -> Program {
    let base = "\(directory)/kernel-\(UInt.random(in: 0..<1 << 40))"
    let header = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path
    func choose(_ call: (String) -> String) -> String {
      source.entryPoints.map { "  if (!strcmp(name, \"\($0)\")) return \(call($0));" }
        .joined(separator: "\n") + "\n  return -1;"
    }
    let text = """
      #define ATTENTION_EMULATION
      #include "emulation.h"
      \(source.text)
      extern "C" int parameters(const char* name, int* sizes) {
      \(choose { "emulation::parameters(\($0), sizes)" })
      }
      extern "C" int launch(const char* name, void** values, int blocks, int threads, int bytes) {
      \(choose { "emulation::launch(\($0), values, blocks, threads, bytes), 0" })
      }
      """
    try text.write(toFile: base + ".cpp", atomically: false, encoding: .utf8)
    let (status, log) = try Tool.run(
      compiler,
      [
        "-std=c++20", "-O1", "-w", "-fPIC", "-shared", "-I", header, "-o", base + ".so",
        base + ".cpp",
      ], reading: .errors)
    guard status == 0 else {
      throw Failure.compiler(source.name, log: String(log.prefix(3000)))
    }
    return try Program(base + ".so")
  }
}
