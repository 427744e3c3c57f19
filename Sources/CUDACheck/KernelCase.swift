import Attention
import Devices
import Tensors

/// A batch, a variant and a kernel for it.
struct KernelCase {
  var name: String
  var shape: AttentionShape
  var variant = AttentionVariant.causal
  var tensors: ((AttentionBatch) -> VariantTensors)?
  /// New tokens and tokens with keys of each request.
  var lengths: [(query: Int, kv: Int)]
  /// Tokens that all requests share the pages of; whole pages.
  var shared = 0
  /// Which of its pages each request reads, where it does not read all.
  var reads: ((_ page: Int) -> Bool)?
  var pageSize = 16
  var queryType = ElementType.float32
  var storedType = ElementType.bfloat16
  var tile = CUDAAttentionKernel.Tile.cores
  var workers = 5
  var architecture = CUDAArchitecture.sm80
  var hasScales = false

  /// How far an output may be from the oracle's, relative to the row's largest element.
  var limit: Double {
    switch tile {
    case .cores: queryType == .float32 ? 2e-5 : 1e-2
    // Weights, and where a functor made them keys and values, are rounded to 16 bits.
    case .tensor, .warpGroups: 2e-2
    }
  }
}

extension KernelCase {
  /// The batch with its tensors in memory, and the oracle.
  final class Material {
    let batch: AttentionBatch
    let plan: AttentionPlan
    let queries: AlignedBuffer
    let keys: AlignedBuffer
    let values: AlignedBuffer
    var keyScales: [Float]
    var valueScales: [Float]
    let scenario: KernelCase
    /// Pages of the pool.
    let pageCount: Int
    private let pages: [[Int]]

    init(_ scenario: KernelCase, _ device: CPUDevice) throws {
      self.scenario = scenario
      let (shape, size) = (scenario.shape, scenario.pageSize)
      let sharedPages = scenario.shared / size
      let most = scenario.lengths.reduce(sharedPages + 2) { $0 + ($1.kv + size - 1) / size }
      // Pages in a scattered order.
      var step = 7
      while Self.divisor(step, most) != 1 { step += 2 }
      var next = sharedPages
      func page(_ i: Int) -> Int { (i * step + 3) % most }
      var pages: [[Int]] = []
      for length in scenario.lengths {
        let count = (length.kv + size - 1) / size
        pages.append(
          (0..<count).map { $0 < sharedPages ? page($0) : page(next + $0 - sharedPages) })
        next += max(count - sharedPages, 0)
      }
      self.pages = pages
      pageCount = most
      let table = try PageTable(
        requests: zip(pages, scenario.lengths).map { (pages: $0, kvLength: $1.kv) }, pageSize: size)
      let ragged = try RaggedIndex(lengths: scenario.lengths.map(\.query))
      var rows: BlockRows?
      if let reads = scenario.reads {
        var (list, offsets, indices) = ([BlockRows.Row](), [0], [Int]())
        for (r, length) in scenario.lengths.enumerated() where length.query > 0 {
          list.append(BlockRows.Row(request: r, queries: 0..<length.query))
          indices += pages[r].indices.filter(reads)
          offsets.append(indices.count)
        }
        rows = try BlockRows(rows: list, offsets: offsets, pages: indices)
      }
      batch = try AttentionBatch(queries: ragged, pages: table, rows: rows)
      plan = try AttentionPlan(
        device: device, shape: shape, variant: scenario.variant, batch: batch,
        tensors: scenario.tensors?(batch), workers: scenario.workers)

      var random = Noise(1)
      func fill(_ count: Int, _ type: ElementType, _ isUsed: (Int) -> Bool) -> AlignedBuffer {
        let buffer = AlignedBuffer(byteCount: max(count * type.blockBytes, 16))
        for i in 0..<count { type.store(isUsed(i) ? random.float() : .nan, i, buffer) }
        return buffer
      }
      // What no request owns is no number: reading it shows.
      var isUsed = [Bool](repeating: false, count: most * size)
      for (r, length) in scenario.lengths.enumerated() {
        for position in 0..<length.kv {
          if scenario.reads?(position / size) ?? true {
            isUsed[pages[r][position / size] * size + position % size] = true
          }
        }
      }
      let (keyColumns, valueColumns) = (
        shape.kvHeads * shape.headDimension, shape.kvHeads * shape.valueDimension
      )
      queries = fill(
        ragged.total * shape.queryHeads * shape.headDimension, scenario.queryType
      ) { _ in true }
      keys = fill(most * size * keyColumns, scenario.storedType) { isUsed[$0 / keyColumns] }
      values = fill(most * size * valueColumns, scenario.storedType) { isUsed[$0 / valueColumns] }
      keyScales = (0..<shape.kvHeads).map { scenario.hasScales ? 0.5 + Float($0) : 1 }
      valueScales = (0..<shape.kvHeads).map { scenario.hasScales ? 2 - Float($0) / 4 : 1 }
    }

    private static func divisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : divisor(b, a % b) }

    /// One request as the oracle sees it.
    func request(_ r: Int) -> DenseAttention.Request {
      let (shape, size) = (scenario.shape, scenario.pageSize)
      func row(_ buffer: AlignedBuffer, _ type: ElementType, _ first: Int, _ count: Int, _ f: Float)
        -> [Float]
      {
        (first..<first + count).map { type.load($0, buffer) * f }
      }
      func slot(_ position: Int) -> Int { pages[r][position / size] * size + position % size }
      let length = scenario.lengths[r]
      var request = DenseAttention.Request(
        number: r, queryLength: length.query, kvLength: length.kv,
        query: { [self] i, head in
          let start =
            ((batch.queries[r].lowerBound + i) * shape.queryHeads + head) * shape.headDimension
          return row(queries, scenario.queryType, start, shape.headDimension, 1)
        },
        key: { [self] position, head in
          let start = (slot(position) * shape.kvHeads + head) * shape.headDimension
          return row(keys, scenario.storedType, start, shape.headDimension, keyScales[head])
        },
        value: { [self] position, head in
          let start = (slot(position) * shape.kvHeads + head) * shape.valueDimension
          return row(values, scenario.storedType, start, shape.valueDimension, valueScales[head])
        })
      if let reads = scenario.reads {
        request.attends = { _, _, position in reads(position / size) }
      }
      return request
    }
  }
}

extension ElementType {
  /// Element `i` of a buffer; 8-bit floats by their definition.
  func load(_ i: Int, _ buffer: AlignedBuffer) -> Float {
    switch self {
    case .float32: buffer.elements(Float.self)[i]
    case .bfloat16: Float(buffer.elements(BFloat16.self)[i])
    case .float16: Float(Float16(bitPattern: buffer.elements(UInt16.self)[i]))
    case .float8E4M3: Self.small(buffer.elements(UInt8.self)[i], fraction: 3, bias: 7)
    case .float8E5M2: Self.small(buffer.elements(UInt8.self)[i], fraction: 2, bias: 15)
    default: Float(buffer.elements(Int8.self)[i])
    }
  }

  /// Stores a number of magnitude at most 1, not always rounded to the nearest.
  func store(_ x: Float, _ i: Int, _ buffer: AlignedBuffer) {
    switch self {
    case .float32: buffer.elements(Float.self)[i] = x
    case .bfloat16: buffer.elements(BFloat16.self)[i] = BFloat16(x)
    case .float16: buffer.elements(UInt16.self)[i] = Float16(x).bitPattern
    case .float8E5M2: buffer.elements(UInt8.self)[i] = UInt8(Float16(x).bitPattern >> 8)
    case .float8E4M3:
      // Any code is a number but 0x7F and 0xFF.
      buffer.elements(UInt8.self)[i] =
        x.isNaN ? 0x7F : UInt8(truncatingIfNeeded: Int(abs(x) * 0x38)) | (x < 0 ? 0x80 : 0)
    default: buffer.elements(Int8.self)[i] = x.isNaN ? 0 : Int8(x * 4)
    }
  }

  private static func small(_ code: UInt8, fraction: Int, bias: Int) -> Float {
    let magnitude = Int(code & 0x7F)
    if fraction == 3 && magnitude == 0x7F { return .nan }
    let (e, m) = (magnitude >> fraction, Double(magnitude % (1 << fraction)))
    if fraction == 2 && e == 31 { return m == 0 ? .infinity : .nan }
    let part = m / Double(1 << fraction)
    let size =
      e == 0
      ? part * Double(sign: .plus, exponent: 1 - bias, significand: 1)
      : (1 + part) * Double(sign: .plus, exponent: e - bias, significand: 1)
    return Float(code & 0x80 == 0 ? size : -size)
  }
}
