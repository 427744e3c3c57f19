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

  var description: String {
    "\(variant.name) \(elementType.rawValue), pages of \(pageSize), "
      + "\(shape.queryHeads)/\(shape.kvHeads) heads of \(shape.headDimension)"
  }

  /// A batch and its tensors.
  struct Material {
    let lengths: [Length]
    let batch: AttentionBatch
    let pages: [[Int]]
    let pageCount: Int
    let queries: Matrix
    /// Of each request, rounded as the cache stores them: `[position][head][element]`.
    var keys: [[Float]] = []
    var values: [[Float]] = []

    init(
      _ scenario: AttentionScenario, _ lengths: [Length], _ device: CPUDevice,
      _ random: inout Random
    ) throws {
      self.lengths = lengths
      let (shape, pageSize) = (scenario.shape, scenario.pageSize)
      // Pages in random order, with strangers between them.
      let needed = lengths.map { ($0.kv + pageSize - 1) / pageSize }
      pageCount = needed.reduce(0, +) + 3
      var pool = Array(0..<pageCount)
      pool.shuffle(using: &random)
      var pages: [[Int]] = []
      for count in needed {
        pages.append(Array(pool.prefix(count)))
        pool.removeFirst(count)
      }
      self.pages = pages
      batch = try AttentionBatch(
        queries: RaggedIndex(lengths: lengths.map(\.query)),
        pages: PageTable(
          requests: zip(pages, lengths).map { (pages: $0, kvLength: $1.kv) }, pageSize: pageSize))
      queries = Matrix(batch.queries.total, shape.queryHeads * shape.headDimension, &random)
      for length in lengths {
        keys.append(
          (0..<length.kv * shape.kvHeads * shape.headDimension).map { _ in
            scenario.elementType.rounding(random.float(in: -1...1))
          })
        values.append(
          (0..<length.kv * shape.kvHeads * shape.valueDimension).map { _ in
            scenario.elementType.rounding(random.float(in: -1...1))
          })
      }
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
    let (keyColumns, valueColumns) = (
      shape.kvHeads * shape.headDimension, shape.kvHeads * shape.valueDimension
    )
    // Slots that nobody owns hold NaN: reading one shows.
    let slots = material.pageCount * pageSize
    try cache.append(
      keys: Matrix(poisoned: slots, keyColumns).view,
      values: Matrix(poisoned: slots, valueColumns).view, slots: Array(0..<slots), on: device)
    for (r, length) in material.lengths.enumerated() {
      try cache.append(
        keys: Matrix(length.kv, keyColumns) { material.keys[r][$0 * keyColumns + $1] }.view,
        values: Matrix(length.kv, valueColumns) { material.values[r][$0 * valueColumns + $1] }.view,
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
    let shape = shape
    let first = material.batch.queries[r].lowerBound
    let (keys, values) = (material.keys[r], material.values[r])
    return DenseAttention.Request(
      number: r, queryLength: material.lengths[r].query, kvLength: material.lengths[r].kv,
      query: { i, head in
        (0..<shape.headDimension).map {
          material.queries.view.row(first + i)[head * shape.headDimension + $0]
        }
      },
      key: { position, head in
        let start = (position * shape.kvHeads + head) * shape.headDimension
        return Array(keys[start..<start + shape.headDimension])
      },
      value: { position, head in
        let start = (position * shape.kvHeads + head) * shape.valueDimension
        return Array(values[start..<start + shape.valueDimension])
      })
  }
}

extension ElementType {
  /// What storing makes of a float, by means independent of the kernels.
  fileprivate func rounding(_ x: Float) -> Float {
    switch self {
    case .float16: Float(Float16(x))
    case .bfloat16: Float(BFloat16(x))
    default: x
    }
  }
}
