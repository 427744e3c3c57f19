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
    case noKernel(String)
    case argument(Int, kernel: String)

    var description: String {
      switch self {
      case .compiler(let name, let log): "\(name) does not compile as C++:\n\(log)"
      case .library(let message): message
      case .noKernel(let name): "the text has no kernel \(name)"
      case .argument(let number, let kernel):
        "argument \(number) of \(kernel) has another size than its parameter, or is one too many"
      }
    }
  }

  /// A text that runs here.
  final class Program {
    private typealias Launch =
      @convention(c) (
        UnsafePointer<CChar>, UnsafeMutablePointer<UnsafeMutableRawPointer?>?, UnsafePointer<Int32>,
        Int32, Int32
      ) -> Int32
    private let library: UnsafeMutableRawPointer
    private let call: Launch

    fileprivate init(_ file: String) throws {
      guard let library = dlopen(file, RTLD_NOW | RTLD_LOCAL), let call = dlsym(library, "launch")
      else { throw Failure.library(dlerror().map { String(cString: $0) } ?? "cannot load \(file)") }
      self.library = library
      self.call = unsafeBitCast(call, to: Launch.self)
    }

    deinit { dlclose(library) }

    /// Runs a launch to its end.
    ///
    /// - Parameter blocks: Instead of the launch's own number.
    func run(_ launch: CUDALaunch, blocks: Int? = nil) throws {
      try launch.withArguments { values throws(Failure) in
        try run(
          launch.entryPoint, values.baseAddress, sizes: launch.arguments.map { $0.bytes.count },
          blocks: blocks ?? launch.blocks)
      }
    }

    /// Runs a kernel whose arguments lie at the given addresses.
    func run(
      _ name: String, _ arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, sizes: [Int],
      blocks: Int
    ) throws(Failure) {
      let status = call(name, arguments, sizes.map { Int32($0) }, Int32(sizes.count), Int32(blocks))
      if status < 0 { throw Failure.noKernel(name) }
      if status > 0 { throw Failure.argument(Int(status), kernel: name) }
    }
  }

  /// Compiles a source.
  func load(_ source: CUDASource) throws -> Program {
    let base = "\(directory)/kernel-\(UInt.random(in: 0..<1 << 40))"
    let header = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path
    let kernels = source.entryPoints.map { name in
      """
        if (!strcmp(name, "\(name)"))
          return emulation::launch(
              \(name), values, sizes, count, blocks, \(source.threads), \(source.dynamicSharedBytes));
      """
    }
    let text = """
      #define ATTENTION_EMULATION
      #include "emulation.h"
      \(source.text)
      extern "C" int launch(
          const char* name, void** values, const int* sizes, int count, int blocks) {
      \(kernels.joined(separator: "\n"))
        return -1;
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
              let launch = CUDALaunch(
                kernel.source.entryPoints[0], blocks: workers,
                [.bytes(withUnsafeBytes(of: arguments) { Array($0) })] + maps(arguments))
              try emulator.load(kernel.source).run(launch)
            }
          }
        }
      }
    }
    return error(material, output, lse)
  }

  /// The tensor maps of keys and values as the emulation reads them, where the kernel takes any.
  private func maps(_ a: CUDAAttentionArguments) -> [CUDALaunch.Argument] {
    guard case .warpGroups = tile else { return [] }
    func map(_ base: UInt64, _ token: Int64, _ head: Int64, _ page: Int64, _ size: Int)
      -> CUDALaunch.Argument
    {
      let strides = [token, head, page].map { UInt64(bitPattern: 2 * $0) }
      let words = [base] + strides + [UInt64(size)] + [UInt64](repeating: 0, count: 11)
      return .bytes(words.withUnsafeBytes { Array($0) })
    }
    return [
      map(a.keys, a.keyToken, a.keyHead, a.keyPage, shape.headDimension),
      map(a.values, a.valueToken, a.valueHead, a.valuePage, shape.valueDimension),
    ]
  }

  /// How far outputs and log-sum-exps are from the oracle's.
  func error(_ material: Material, _ output: AlignedBuffer, _ lse: [Float]) -> (
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
