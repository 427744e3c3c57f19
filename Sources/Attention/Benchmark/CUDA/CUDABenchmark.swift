public import Devices
internal import Tensors

/// Attention on a GPU beside what the GPU does at best in the same run: copying, and cuBLASLt's products.
///
/// Every workload's output is compared with the reference before it is timed, some rows of it: a kernel
/// that is wrong has no figure. Layers of a workload have caches of their own, together several times the
/// second cache, and run in one captured graph between two events.
public final class CUDABenchmark {
  /// How large everything is.
  public struct Sizes: Sendable {
    /// Requests of decode.
    public var batches = [16, 32, 64, 128]
    /// Mean keys of a request of decode.
    public var meanLength = 2_048
    /// Tokens of prompts.
    public var prompts = [1_024, 2_048, 4_096, 8_192, 16_384]
    /// Tokens that requests share, and how many requests.
    public var prefixes = [1_024, 8_192, 32_768]
    /// Requests that share them.
    public var sharers = [4, 16, 64]
    /// Query heads of latent attention.
    public var latentHeads = [16, 128]
    /// The least that the layers of a workload read together, in bytes.
    public var workingSet = 512 << 20
    /// Bytes of the copy, and the side of the square product.
    public var (copied, side) = (512 << 20, 8_192)
    /// Key/value heads of prefill and decode.
    public var kvHeads = 8
    /// Measurements, the median of which counts.
    public var rounds = 15

    /// The sizes that are reported.
    public init() {}

    /// The kernels that are reported, on lengths for which times mean nothing.
    public static var short: Sizes {
      var sizes = Sizes()
      (sizes.batches, sizes.meanLength, sizes.prompts) = ([3], 40, [70])
      (sizes.prefixes, sizes.sharers) = ([64], [3])
      (sizes.workingSet, sizes.copied, sizes.side, sizes.rounds) = (1, 1 << 12, 16, 1)
      return sizes
    }

    /// The same with few heads, so that a processor can play the GPU.
    public static var tiny: Sizes {
      var sizes = Sizes.short
      (sizes.latentHeads, sizes.kvHeads) = ([4], 1)
      return sizes
    }
  }

  /// A figure, and what it was measured on.
  public struct Row: Sendable, Codable {
    /// The table: copy, product, decode, prefill, latent, fp8, pages, prefix, start or plan.
    public var part: String
    /// What tells it from the others of its table.
    public var name: String
    /// The engine, where it is a kernel of attention.
    public var tile: String?
    /// New tokens of each request.
    public var queryLengths: [Int] = []
    /// Tokens with keys of each request.
    public var kvLengths: [Int] = []
    /// Tokens that all requests begin with.
    public var prefix = 0
    /// Tokens of a page.
    public var pageSize = 0
    /// Query heads, key/value heads, elements of keys and of values.
    public var heads: [Int] = []
    /// The stored type of keys and values.
    public var type: String?
    /// Median microseconds: of a layer, or of what the name says.
    public var microseconds: Double
    /// The rate, in GB/s or TFLOP/s.
    public var rate: Double?
    /// The rate's unit.
    public var unit: String?
    /// The rate over that of copying, or of products.
    public var ratio: Double?
    /// The largest error of the rows that were compared, relative to the row's largest element.
    public var error: Double?
    /// Whether the error is within rounding.
    public var isRight = true
  }

  /// What compiles and loads a kernel.
  public typealias Loader = (CUDASource) throws(CUDAFailure) -> CUDAModule

  let context: CUDAContext
  let host: CPUDevice
  let sizes: Sizes
  let stream: CUDAStream
  let module: Loader
  let loaders: [(name: String, make: () -> Loader)]
  private let products: CUBLASLt?
  private let wanted: (String) -> Bool
  private let report: (Row) -> Void
  /// GB/s of copying, and TFLOP/s of bf16 products, once they have been measured.
  private(set) var (copyRate, productRate): (Double?, Double?) = (nil, nil)
  /// The rows so far.
  public private(set) var rows: [Row] = []

  /// A benchmark.
  ///
  /// - Parameters:
  ///   - products: What prefill is compared with; without it prefill has no ratio.
  ///   - wanted: Which parts are measured.
  ///   - report: Is called with every row as soon as it is there.
  ///   - loaders: Ways to a kernel that are timed from nothing to the first result, each made anew.
  ///   - module: The way that all else takes.
  public init(
    _ context: CUDAContext, host: CPUDevice, sizes: Sizes = Sizes(), products: CUBLASLt?,
    wanted: @escaping (String) -> Bool = { _ in true }, report: @escaping (Row) -> Void = { _ in },
    loaders: [(name: String, make: () -> Loader)] = [], module: @escaping Loader
  ) throws(CUDAFailure) {
    (self.context, self.host, self.sizes, self.products) = (context, host, sizes, products)
    (self.wanted, self.report, self.module, self.loaders) = (wanted, report, module, loaders)
    stream = try CUDAStream(context)
  }

  /// Measures the parts that are wanted; the GPU's own limits in any case.
  public func run() throws {
    try measureCopy()
    try measureProduct()
    for (part, body) in [
      ("decode", measureDecode), ("prefill", measurePrefill), ("latent", measureLatent),
      ("fp8", measureSmallFloats), ("pages", measurePages), ("prefix", measurePrefixes),
      ("start", measureStarts), ("plan", measurePlanning),
    ] where wanted(part) {
      try body()
    }
  }

  func add(_ row: Row) {
    rows.append(row)
    report(row)
  }

  /// The median seconds between two events around some work.
  func seconds(_ body: () throws -> Void) throws -> Double {
    let (start, end) = (
      try CUDAEvent(context, isTimed: true), try CUDAEvent(context, isTimed: true)
    )
    var all: [Double] = []
    // The first two times are not counted: clocks rise, code is loaded.
    for round in 0..<sizes.rounds + 2 {
      try stream.record(start)
      try body()
      try stream.record(end)
      try end.synchronize()
      if round > 1 { all.append(Double(try end.milliseconds(since: start)) / 1e3) }
    }
    return all.median
  }

  /// Bytes read and written a second by the driver's copy on the device.
  private func measureCopy() throws {
    let (from, to) = (
      try context.allocate(bytes: sizes.copied), try context.allocate(bytes: sizes.copied)
    )
    try stream.fill(from.address, bytes: sizes.copied)
    let time = try seconds {
      try stream.copy(from.address, to: to.address, bytes: sizes.copied)
    }
    let rate = 2 * Double(sizes.copied) / time / 1e9
    copyRate = rate
    add(
      Row(
        part: "copy", name: "\(sizes.copied >> 20) MiB on the device", microseconds: time * 1e6,
        rate: rate, unit: "GB/s"))
  }

  /// cuBLASLt's product of two square matrices in bf16.
  private func measureProduct() throws {
    guard let products else { return }
    let side = sizes.side
    let matrices = try (0..<3).map { _ in
      let buffer = try context.allocate(bytes: side * side * 2)
      // Zeros would let the GPU's clock rise above what numbers do.
      try Pattern(self, .bfloat16).fill(buffer, elements: side * side, offset: 0)
      return buffer
    }
    func matrix(_ i: Int) -> CUDAMatrix {
      CUDAMatrix(matrices[i].address, rows: side, columns: side)
    }
    let time = try seconds {
      try products.multiply(
        matrix(0), matrix(1), type: .bfloat16, into: matrix(2), on: stream)
    }
    let rate = 2 * Double(side) * Double(side) * Double(side) / time / 1e12
    productRate = rate
    add(
      Row(
        part: "product", name: "cuBLASLt bf16 \(side)³", microseconds: time * 1e6, rate: rate,
        unit: "TFLOP/s"))
  }
}
