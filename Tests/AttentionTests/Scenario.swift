import Attention
import Devices
import Tensors
import Testing

/// The same numbers on every machine.
struct Random: RandomNumberGenerator {
  private var bits: SplitMix

  init(_ seed: UInt64) { bits = SplitMix(state: seed) }

  mutating func next() -> UInt64 { bits.next() }

  /// Uniform between −1 and 1.
  mutating func float() -> Float { Float(next() >> 40) * 0x1p-23 - 1 }
}

/// A batch with tensors, a filled cache, and the oracle's answer.
struct Scenario {
  var shape = AttentionShape(queryHeads: 4, kvHeads: 2, headDimension: 64)
  var variant = AttentionVariant.causal
  /// The data of the variant's tensors, made for a batch.
  var tensors: ((AttentionBatch) -> VariantTensors)?
  /// New tokens and tokens with keys of each request.
  var lengths: [(query: Int, kv: Int)] = [(1, 7)]
  /// What each request begins with: parts named by a number and their tokens, whole pages.
  ///
  /// Requests that begin with the same parts share their pages.
  var parts: [[(name: Int, tokens: Int)]] = []
  var pageSize = 16
  var elementType = ElementType.float32
  var queryMagnitude: Float = 1
  var seed: UInt64 = 1

  /// What a run left.
  struct Result {
    var output: [Float]
    var lse: [Float]
  }

  /// Everything a run needs, kept alive together.
  final class Material {
    let device: CPUDevice
    let batch: AttentionBatch
    let cache: PagedKVCache
    let queries: AlignedBuffer
    let keys: [[Float]]
    let values: [[Float]]
    /// Whether products round queries and weights to bf16.
    let rounds: Bool
    /// Whether they round what a functor makes of queries and keys: the oracle cannot follow.
    let roundsFunctors: Bool
    /// What that leaves of the output's precision; log-sum-exps keep theirs without functors.
    var limit: Double { rounds ? 1e-2 : 1e-5 }
    var lseLimit: Double { roundsFunctors ? 5e-3 : 1e-5 }

    init(_ scenario: Scenario, _ device: CPUDevice) throws {
      self.device = device
      // Functors of values leave floats.
      rounds =
        device.roundsProducts(of: scenario.elementType)
        && !scenario.variant.functors.contains { $0.kind == .value }
      roundsFunctors =
        rounds && scenario.variant.functors.contains { $0.kind == .key || $0.kind == .query }
      let shape = scenario.shape
      var random = Random(scenario.seed)
      let pageSize = scenario.pageSize
      let needed = scenario.lengths.map { ($0.kv + pageSize - 1) / pageSize }
      // Pages in random order, with strangers between them.
      var pool = Array(0..<needed.reduce(0, +) + 3)
      pool.shuffle(using: &random)
      var requests: [(pages: [Int], kvLength: Int)] = []
      var shared: [[Int]: [Int]] = [:]
      for (r, length) in scenario.lengths.enumerated() {
        var pages: [Int] = []
        var path: [Int] = []
        for part in r < scenario.parts.count ? scenario.parts[r] : [] {
          path.append(part.name)
          let fresh = Array(pool.prefix(part.tokens / pageSize))
          pages += shared[path] ?? fresh
          if shared.updateValue(shared[path] ?? fresh, forKey: path) == nil {
            pool.removeFirst(fresh.count)
          }
        }
        let own = needed[r] - pages.count
        requests.append((pages + pool.prefix(own), length.kv))
        pool.removeFirst(own)
      }
      let table = try PageTable(requests: requests, pageSize: pageSize)
      batch = try AttentionBatch(
        queries: RaggedIndex(lengths: scenario.lengths.map(\.query)), pages: table)
      cache = try PagedKVCache(
        pageCount: needed.reduce(0, +) + 3, pageSize: pageSize, kvHeads: shape.kvHeads,
        headDimension: shape.headDimension, valueDimension: shape.valueDimension,
        elementType: scenario.elementType)
      try Self.poison(cache, device)

      let tokens = batch.queries.total
      queries = AlignedBuffer(byteCount: tokens * shape.queryHeads * shape.headDimension * 4)
      for i in queries.elements(Float.self).indices {
        queries.elements(Float.self)[i] = random.float() * scenario.queryMagnitude
      }
      var keys: [[Float]] = []
      var values: [[Float]] = []
      let (keyColumns, valueColumns) = (
        shape.kvHeads * shape.headDimension, shape.kvHeads * shape.valueDimension
      )
      var stored: [Int: (request: Int, page: Int)] = [:]
      for (r, length) in scenario.lengths.enumerated() {
        keys.append((0..<length.kv * keyColumns).map { _ in random.float() })
        values.append((0..<length.kv * valueColumns).map { _ in random.float() })
        // A page that an earlier request has filled keeps its contents.
        for (i, page) in requests[r].pages.enumerated() {
          guard let (other, place) = stored[page] else {
            stored[page] = (r, i)
            continue
          }
          let (from, to, size) = (place * pageSize, i * pageSize, pageSize)
          keys[r].replaceSubrange(
            to * keyColumns..<(to + size) * keyColumns,
            with: keys[other][from * keyColumns..<(from + size) * keyColumns])
          values[r].replaceSubrange(
            to * valueColumns..<(to + size) * valueColumns,
            with: values[other][from * valueColumns..<(from + size) * valueColumns])
        }
        let slots = (0..<length.kv).map {
          requests[r].pages[$0 / pageSize] * pageSize + $0 % pageSize
        }
        try Self.append(&keys[r], &values[r], slots, to: cache, device)
      }
      self.keys = keys
      self.values = values
    }

    /// Slots that nobody owns hold NaN: reading one shows.
    private static func poison(_ cache: PagedKVCache, _ device: CPUDevice) throws {
      let slots = cache.pageCount * cache.pageSize
      var keys = [Float](repeating: .nan, count: slots * cache.kvHeads * cache.headDimension)
      var values = [Float](repeating: .nan, count: slots * cache.kvHeads * cache.valueDimension)
      try append(&keys, &values, Array(0..<slots), to: cache, device)
    }

    private static func append(
      _ keys: inout [Float], _ values: inout [Float], _ slots: [Int], to cache: PagedKVCache,
      _ device: CPUDevice
    ) throws {
      try keys.withUnsafeMutableBufferPointer { keys in
        try values.withUnsafeMutableBufferPointer { values in
          guard let k = keys.baseAddress, let v = values.baseAddress else { return }
          try cache.append(
            keys: MatrixView(k, rows: slots.count, columns: cache.kvHeads * cache.headDimension),
            values: MatrixView(v, rows: slots.count, columns: cache.kvHeads * cache.valueDimension),
            slots: slots, on: device)
        }
      }
    }

    func queryView(_ shape: AttentionShape) throws -> MatrixView {
      MatrixView(
        try #require(queries.elements(Float.self).baseAddress), rows: batch.queries.total,
        columns: shape.queryHeads * shape.headDimension)
    }
  }

  /// Plans and runs; outputs start as NaN.
  func run(_ material: Material, workers: Int? = nil) throws -> Result {
    let plan = try AttentionPlan(
      device: material.device, shape: shape, variant: variant, batch: material.batch,
      tensors: tensors?(material.batch), workers: workers)
    return try run(material, plan)
  }

  /// Runs a plan; outputs start as NaN.
  func run(_ material: Material, _ plan: AttentionPlan) throws -> Result {
    let tokens = material.batch.queries.total
    let columns = shape.queryHeads * shape.valueDimension
    var result = Result(
      output: [Float](repeating: .nan, count: max(tokens * columns, 1)),
      lse: [Float](repeating: .nan, count: max(tokens * shape.queryHeads, 1)))
    try result.output.withUnsafeMutableBufferPointer { output in
      try result.lse.withUnsafeMutableBufferPointer { lse in
        guard let o = output.baseAddress, let l = lse.baseAddress else { return }
        try plan.run(
          queries: material.queryView(shape), cache: material.cache,
          output: MatrixView(o, rows: tokens, columns: columns),
          lse: variant.usesSoftmax
            ? .natural(MatrixView(l, rows: tokens, columns: shape.queryHeads)) : nil)
      }
    }
    return result
  }

  /// The largest error of any output row relative to the row's largest element, and of any
  /// log-sum-exp relative to 1 + its size.
  ///
  /// - Parameters:
  ///   - stored: Compare with the oracle on the values as the cache stores them, not as they were
  ///     given.
  ///   - sample: Only every `sample`-th row is asked of the (slow) oracle.
  func error(_ result: Result, _ material: Material, stored: Bool, sample: Int = 1) throws
    -> (output: Double, lse: Double)
  {
    let oracle = DenseAttention(
      shape: shape, variant: variant, tensors: tensors?(material.batch) ?? VariantTensors(),
      lengths: lengths)
    var worst = (output: 0.0, lse: 0.0)
    for (r, length) in lengths.enumerated() {
      let request = self.request(r, length, material, stored: stored)
      for i in 0..<length.query {
        for head in 0..<shape.queryHeads {
          let token = material.batch.queries[r].lowerBound + i
          if (token * shape.queryHeads + head) % sample != 0 { continue }
          let (output, lse) = oracle.row(i, head: head, of: request)
          let start = (token * shape.queryHeads + head) * shape.valueDimension
          let ours = result.output[start..<start + shape.valueDimension]
          let ourLSE = Double(result.lse[token * shape.queryHeads + head])
          let isEmpty = lse == -.infinity && variant.usesSoftmax
          if isEmpty && ourLSE != -.infinity { return (.infinity, .infinity) }
          if isEmpty && output.allSatisfy({ $0 == 0 }) {
            let isExact = ours.allSatisfy { $0 == 0 }
            if !isExact { return (.infinity, .infinity) }
            continue
          }
          let size = output.map(abs).max() ?? 0
          for (a, b) in zip(ours, output) where Double(a) != b {
            worst.output = max(worst.output, a.isNaN ? .infinity : abs(Double(a) - b) / size)
          }
          if !variant.usesSoftmax || isEmpty { continue }
          worst.lse = max(
            worst.lse, ourLSE.isNaN ? .infinity : abs(ourLSE - lse) / (1 + abs(lse)))
        }
      }
    }
    return worst
  }

  private func request(
    _ r: Int, _ length: (query: Int, kv: Int), _ material: Material, stored: Bool
  ) -> DenseAttention.Request {
    let shape = shape
    let first = material.batch.queries[r].lowerBound
    let queries = material.queries.elements(Float.self)
    let (keys, values) = (material.keys[r], material.values[r])
    let scale = variant.scale ?? 1 / Float(shape.headDimension).squareRoot()
    func slice(_ all: [Float], _ position: Int, _ head: Int, _ size: Int) -> [Float] {
      let start = (position * shape.kvHeads + head) * size
      let row = Array(all[start..<start + size])
      return stored ? row.map(elementType.rounding) : row
    }
    return DenseAttention.Request(
      number: r, queryLength: length.query, kvLength: length.kv,
      query: { i, head in
        let start = ((first + i) * shape.queryHeads + head) * shape.headDimension
        let row = Array(queries[start..<start + shape.headDimension])
        // Products in pairs see the scaled query rounded to bf16.
        return stored && material.rounds && !material.roundsFunctors
          ? row.map { ElementType.bfloat16.rounding($0 * scale) / scale } : row
      },
      key: { slice(keys, $0, $1, shape.headDimension) },
      value: { slice(values, $0, $1, shape.valueDimension) })
  }
}

extension ElementType {
  /// What storing makes of a float, by means independent of the kernels.
  func rounding(_ x: Float) -> Float {
    switch self {
    case .float16: Float(Float16(x))
    case .bfloat16: Float(BFloat16(x))
    case .float8E4M3: Self.nearest(x, among: Self.e4m3)
    case .float8E5M2: Self.nearest(x, among: Self.e5m2)
    case .int8: x.isNaN ? 0 : min(max(x, -127), 127).rounded(.toNearestOrEven)
    default: x
    }
  }

  /// All magnitudes of an 8-bit float, ascending: fraction bits and bias say it all.
  private static func magnitudes(fraction: Int, bias: Int, count: Int) -> [Float] {
    (0..<count).map { code in
      let (e, m) = (code >> fraction, Double(code % (1 << fraction)) / Double(1 << fraction))
      return Float(
        e == 0
          ? m * Double(sign: .plus, exponent: 1 - bias, significand: 1)
          : (1 + m) * Double(sign: .plus, exponent: e - bias, significand: 1))
    }
  }
  private static let e4m3 = magnitudes(fraction: 3, bias: 7, count: 0x7F)
  private static let e5m2 = magnitudes(fraction: 2, bias: 15, count: 0x7C)

  /// The nearest magnitude, the even code of two equally near ones, the largest beyond it.
  private static func nearest(_ x: Float, among magnitudes: [Float]) -> Float {
    if x.isNaN { return x }
    let size = Double(abs(x))
    let above = magnitudes.firstIndex { Double($0) >= size } ?? magnitudes.count - 1
    let below = max(above - 1, 0)
    let (up, down) = (abs(Double(magnitudes[above]) - size), size - Double(magnitudes[below]))
    let chosen =
      Double(magnitudes[above]) <= size || up < down || (up == down && above % 2 == 0)
      ? above : below
    return Float(sign: x.sign, exponent: 0, significand: 1) * magnitudes[chosen]
  }
}
