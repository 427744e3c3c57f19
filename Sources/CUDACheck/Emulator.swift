import Attention
import Devices
import Foundation
import Glibc
import Tensors

/// Runs a kernel's text on this processor: compiled as C++ with `emulation.h`, loaded, called.
struct Emulator {
  /// A C++ compiler: `CXX`, else clang++, else g++ of at least version 13.
  let compiler: String
  let directory: String

  enum Failure: Error, CustomStringConvertible {
    case compiler(String, log: String)
    case library(String)
    case layout(swift: Int, cxx: Int)

    var description: String {
      switch self {
      case .compiler(let name, let log): "\(name) does not compile as C++:\n\(log)"
      case .library(let message): message
      case .layout(let swift, let cxx): "arguments are \(swift) bytes in Swift, \(cxx) in C++"
      }
    }
  }

  /// Compiles a source and runs it for the planned batch.
  ///
  /// - Parameter maps: What follows the arguments in the kernel's own: tensor maps, in C++.
  func run(
    _ source: CUDASource, _ arguments: CUDAAttentionArguments, maps: String, blocks: Int
  ) throws {
    let base = "\(directory)/kernel-\(UInt.random(in: 0..<1 << 40))"
    let header = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path
    let text = """
      #define ATTENTION_EMULATION
      #include "emulation.h"
      \(source.text)
      extern "C" int argument_bytes() { return sizeof(Arguments); }
      extern "C" void launch(const void* arguments, int blocks) {
        const Arguments& a = *(const Arguments*)arguments;
        emulation::run(blocks, \(source.threads), \(source.dynamicSharedBytes), [&] {
          attention(a\(maps));
        });
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
    guard let library = dlopen(base + ".so", RTLD_NOW | RTLD_LOCAL),
      let size = dlsym(library, "argument_bytes"), let launch = dlsym(library, "launch")
    else { throw Failure.library(dlerror().map { String(cString: $0) } ?? "cannot load \(base)") }
    defer { dlclose(library) }
    let bytes = unsafeBitCast(size, to: (@convention(c) () -> Int32).self)()
    guard Int(bytes) == MemoryLayout<CUDAAttentionArguments>.size else {
      throw Failure.layout(swift: MemoryLayout<CUDAAttentionArguments>.size, cxx: Int(bytes))
    }
    let call = unsafeBitCast(
      launch, to: (@convention(c) (UnsafeRawPointer, Int32) -> Void).self)
    withUnsafeBytes(of: arguments) { if let base = $0.baseAddress { call(base, Int32(blocks)) } }
  }
}

extension KernelCase {
  /// Runs the kernel on the emulator and compares outputs, which began as NaN, with the oracle's.
  func check(_ emulator: Emulator, _ device: CPUDevice) throws -> (output: Double, lse: Double) {
    let material = try Material(self, device)
    let kernel = try material.plan.cudaKernel(
      queryType: queryType, storedType: storedType, tile: tile, architecture: architecture)
    let rows = material.batch.queries.total
    let columns = shape.queryHeads * shape.valueDimension
    let output = AlignedBuffer(byteCount: max(rows * columns * queryType.blockBytes, 16))
    var lse = [Float](repeating: .nan, count: max(rows * shape.queryHeads, 1))
    for i in 0..<rows * columns { queryType.store(.nan, i, output) }
    var mergeCount = Int32(material.plan.mergeCount)
    // As after launches of earlier batches.
    var arrivals = UInt32(3 * workers)
    try lse.withUnsafeMutableBufferPointer { lse in
      try withUnsafeMutablePointer(to: &arrivals) { arrivals in
        try withUnsafeMutablePointer(to: &mergeCount) { mergeCount in
          try material.keyScales.withUnsafeMutableBufferPointer { keyScales in
            try material.valueScales.withUnsafeMutableBufferPointer { valueScales in
              func address(_ pointer: UnsafeMutableRawPointer?) -> UInt64 {
                UInt64(UInt(bitPattern: pointer))
              }
              var arguments = material.plan.cudaArguments
              arguments.queries = address(material.queries.bytes.baseAddress)
              arguments.output = address(output.bytes.baseAddress)
              arguments.lse = address(lse.baseAddress)
              arguments.keys = address(material.keys.bytes.baseAddress)
              arguments.values = address(material.values.bytes.baseAddress)
              arguments.keyScales = address(keyScales.baseAddress)
              arguments.valueScales = address(valueScales.baseAddress)
              arguments.mergeCount = address(mergeCount)
              arguments.arrivals = address(arrivals)
              arguments.queryStride = Int64(shape.queryHeads * shape.headDimension)
              arguments.outputStride = Int64(columns)
              arguments.lseStride = Int64(shape.queryHeads)
              arguments.keyHead = Int64(shape.headDimension)
              arguments.keyToken = arguments.keyHead * Int64(shape.kvHeads)
              arguments.keyPage = arguments.keyToken * Int64(pageSize)
              arguments.valueHead = Int64(shape.valueDimension)
              arguments.valueToken = arguments.valueHead * Int64(shape.kvHeads)
              arguments.valuePage = arguments.valueToken * Int64(pageSize)
              try emulator.run(kernel.source, arguments, maps: maps, blocks: workers)
            }
          }
        }
      }
    }
    return error(material, output, lse)
  }

  /// The tensor maps of keys and values, where the kernel takes any.
  private var maps: String {
    guard case .warpGroups = tile else { return "" }
    func map(_ name: String, _ size: Int) -> String {
      ", emulation::map(a.\(name)s, a.\(name)Token * 2, a.\(name)Head * 2, a.\(name)Page * 2, \(size))"
    }
    return map("key", shape.headDimension) + map("value", shape.valueDimension)
  }

  private func error(_ material: Material, _ output: AlignedBuffer, _ lse: [Float]) -> (
    output: Double, lse: Double
  ) {
    let oracle = DenseAttention(
      shape: shape, variant: variant, tensors: tensors?(material.batch) ?? VariantTensors(),
      lengths: lengths)
    var worst = (output: 0.0, lse: 0.0)
    for (r, length) in lengths.enumerated() {
      let request = material.request(r)
      for i in 0..<length.query {
        // The oracle is slow: long requests' rows in part.
        if length.query * length.kv > 4000 && i % 13 != 0 && i != length.query - 1 { continue }
        for head in 0..<shape.queryHeads {
          let (expected, sum) = oracle.row(i, head: head, of: request)
          let row = (material.batch.queries[r].lowerBound + i) * shape.queryHeads + head
          let found = (0..<shape.valueDimension).map {
            Double(queryType.load(row * shape.valueDimension + $0, output))
          }
          let size = max(expected.map(abs).max() ?? 0, 0.05)
          let isEmpty = sum == -.infinity && variant.usesSoftmax
          for (x, y) in zip(found, expected) {
            let off = isEmpty && x != y ? .infinity : abs(x - y) / size
            worst.output = max(worst.output, off.isNaN ? .infinity : off)
          }
          if !variant.usesSoftmax { continue }
          let difference =
            Double(lse[row]) == sum ? 0 : abs(Double(lse[row]) - sum) / (1 + abs(sum))
          worst.lse = max(worst.lse, difference.isNaN ? .infinity : difference)
        }
      }
    }
    return worst
  }
}
