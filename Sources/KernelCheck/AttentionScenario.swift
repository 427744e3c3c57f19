import Attention
import Devices
import Tensors

/// A layer's shape and variant, and how its keys and values are stored.
struct AttentionScenario: CustomStringConvertible {
  /// New tokens and tokens with keys of a request.
  typealias Length = (query: Int, kv: Int)

  var shape: AttentionShape
  var variant: AttentionVariant
  var pageSize: Int
  var elementType: ElementType
  /// Whether queries read two of every three pages only.
  var isSparse = false

  var description: String {
    "\(variant.name) \(elementType.rawValue), \(isSparse ? "some " : "")pages of \(pageSize), "
      + "\(shape.queryHeads)/\(shape.kvHeads) heads of \(shape.headDimension)"
  }

  /// A batch and its tensors.
  struct Material {
    let lengths: [Length]
    let batch: AttentionBatch
    let pages: [[Int]]
    let pageCount: Int
    let queries: Matrix
    /// Of each request, rounded as the cache stores them; a row is a position's heads.
    var keys: [Matrix] = []
    var values: [Matrix] = []

    /// Whether a sparse batch reads a page of a request's list.
    static func isRead(_ page: Int) -> Bool { page % 3 != 1 }

    init(
      _ scenario: AttentionScenario, _ lengths: [Length], _ device: CPUDevice,
      _ random: inout Random
    ) throws {
      self.lengths = lengths
      let (shape, pageSize) = (scenario.shape, scenario.pageSize)
      // Pages in random order, with strangers between them.
      let needed = lengths.map { ($0.kv + pageSize - 1) / pageSize }
      pageCount = needed.reduce(0, +) + 2
      var pool = Array(0..<pageCount)
      pool.shuffle(using: &random)
      var pages: [[Int]] = []
      for count in needed {
        pages.append(Array(pool.prefix(count)))
        pool.removeFirst(count)
      }
      self.pages = pages
      let rows = try RaggedIndex(lengths: lengths.map(\.query))
      batch = try AttentionBatch(
        queries: rows,
        pages: PageTable(
          requests: zip(pages, lengths).map { (pages: $0, kvLength: $1.kv) }, pageSize: pageSize),
        rows: scenario.isSparse
          ? BlockRows(selecting: pages.map { $0.indices.filter(Self.isRead) }, queries: rows) : nil)
      queries = Matrix(batch.queries.total, shape.queryHeads * shape.headDimension, &random)
      for length in lengths {
        let (keyColumns, valueColumns) = scenario.columns
        keys.append(
          Matrix(length.kv, keyColumns) { _, _ in scenario.storable(&random) })
        values.append(
          Matrix(length.kv, valueColumns) { _, _ in scenario.storable(&random) })
      }
    }
  }

  /// The elements of all heads of a key and of a value.
  private var columns: (key: Int, value: Int) {
    (shape.kvHeads * shape.headDimension, shape.kvHeads * shape.valueDimension)
  }

  /// A number that storing leaves as it is; the tests see to rounding.
  private func storable(_ random: inout Random) -> Float {
    let x = random.float(in: -1...1)
    return switch elementType {
    case .float16: Float(Float16(x))
    case .bfloat16: Float(BFloat16(x))
    // Two fraction bits, exponents from −3 on; whole numbers.
    case .float8E4M3, .float8E5M2:
      (x.significand * 4).rounded() / 4 * (x < 0 ? -1 : 1)
        * [0.125, 0.25, 0.5, 1][Int(abs(x) * 3.99)]
    case .int8: (x * 3).rounded()
    default: x
    }
  }

  /// Stores keys and values on a device, plans and runs.
  func run(_ material: Material, on device: CPUDevice, workers: Int) throws
    -> (output: Matrix, lse: Matrix)
  {
    let cache = try PagedKVCache(
      pageCount: material.pageCount, pageSize: pageSize, kvHeads: shape.kvHeads,
      headDimension: shape.headDimension, valueDimension: shape.valueDimension,
      elementType: elementType)
    try poison(cache, on: device)
    for (r, length) in material.lengths.enumerated() {
      try cache.append(
        keys: material.keys[r].view, values: material.values[r].view,
        slots: (0..<length.kv).map {
          material.pages[r][$0 / pageSize] * pageSize + $0 % pageSize
        }, on: device)
    }
    let plan = try AttentionPlan(
      device: device, shape: shape, variant: variant, batch: material.batch, workers: workers)
    let tokens = material.batch.queries.total
    let output = Matrix(poisoned: tokens, shape.queryHeads * shape.valueDimension)
    let lse = Matrix(poisoned: tokens, shape.queryHeads)
    try plan.run(
      queries: material.queries.view, cache: cache, output: output.view, lse: .natural(lse.view))
    return (output, lse)
  }

  /// Fills all slots with NaN: reading one that no request owns shows.
  private func poison(_ cache: PagedKVCache, on device: CPUDevice) throws {
    let keys = Matrix(poisoned: pageSize, columns.key)
    let values = Matrix(poisoned: pageSize, columns.value)
    for page in 0..<cache.pageCount {
      try cache.append(
        keys: keys.view, values: values.view,
        slots: Array(page * pageSize..<(page + 1) * pageSize), on: device)
    }
  }

  /// What the reference says of every `sample`-th row (token · heads + head): its output, then its
  /// log-sum-exp.
  ///
  /// Errors of an output are relative to its row's largest element.
  func exact(_ material: Material, sample: Int) -> (
    rows: [Int], values: [Double], scale: [Double]
  ) {
    let oracle = DenseAttention(shape: shape, variant: variant)
    var (rows, values, scale): ([Int], [Double], [Double]) = ([], [], [])
    for r in material.lengths.indices {
      let request = request(r, material)
      let first = material.batch.queries[r].lowerBound
      for i in 0..<request.queryLength {
        for head in 0..<shape.queryHeads {
          let row = (first + i) * shape.queryHeads + head
          if row % sample != 0 { continue }
          let (output, lse) = oracle.row(i, head: head, of: request)
          rows.append(row)
          values += output + [lse]
          // A row that attends to nothing is exactly 0.
          let size = output.reduce(1e-30) { max($0, abs($1)) }
          scale += output.map { _ in size }
          scale.append(lse.isFinite ? 1 + abs(lse) : 1)
        }
      }
    }
    return (rows, values, scale)
  }

  private func request(_ r: Int, _ material: Material) -> DenseAttention.Request {
    let (shape, pageSize) = (shape, pageSize)
    let first = material.batch.queries[r].lowerBound
    // Split into heads once; the reference asks for each of them many times.
    let keys = heads(of: material.keys[r], shape.headDimension)
    let values = heads(of: material.values[r], shape.valueDimension)
    var request = DenseAttention.Request(
      number: r, queryLength: material.lengths[r].query, kvLength: material.lengths[r].kv,
      query: { i, head in
        (0..<shape.headDimension).map {
          material.queries.view.row(first + i)[head * shape.headDimension + $0]
        }
      },
      key: { position, head in keys[position * shape.kvHeads + head] },
      value: { position, head in values[position * shape.kvHeads + head] })
    if isSparse { request.attends = { _, _, position in Material.isRead(position / pageSize) } }
    return request
  }

  /// The rows of `[position][head]`.
  private func heads(of matrix: Matrix, _ size: Int) -> [[Float]] {
    (0..<matrix.view.rows * shape.kvHeads).map { i in
      let (position, head) = i.quotientAndRemainder(dividingBy: shape.kvHeads)
      return Array(
        UnsafeBufferPointer(start: matrix.view.row(position) + head * size, count: size))
    }
  }
}
