import Attention
import Devices
import Tensors
import Testing

/// A pool of slots with random keys and values, a batch over it, and the oracle's answer.
///
/// Which slot holds a position and which positions a query looks at is said by closures, apart from
/// the structures under test. Slots that no query looks at hold NaN.
struct PoolCase {
  var shape = AttentionShape(queryHeads: 4, kvHeads: 2, headDimension: 24)
  var variant = AttentionVariant.full
  var elementType = ElementType.float32
  var pageCount: Int
  var batch: AttentionBatch
  /// The slot of a position of a request.
  var slot: (_ request: Int, _ position: Int) -> Int?
  /// Whether new token i of a request and kv head looks at a position that has a slot.
  var attends: (_ request: Int, _ i: Int, _ head: Int, _ position: Int) -> Bool = { _, _, _, _ in
    true
  }
  /// The data of the variant's tensors.
  var tensors = VariantTensors()
  var seed: UInt64 = 1

  /// What a run left.
  private struct Result {
    var workers: Int
    var rounds: Bool
    var output: [Float]
    var lse: [Float]
  }

  /// Runs with several numbers of workers and compares every row with the oracle's: errors are
  /// relative to the row's largest element, a row that attends to nothing is exactly 0 and −∞.
  func check(_ device: CPUDevice, _ comment: Comment = "") throws {
    var random = Random(seed)
    func floats(_ count: Int) -> [Float] { (0..<count).map { _ in random.float() } }
    let slots = pageCount * batch.pages.pageSize
    let queries = floats(max(batch.queries.total, 1) * shape.queryHeads * shape.headDimension)
    let isUsed = usedSlots()
    func stored(_ columns: Int) -> [Float] {
      zip(floats(slots * columns), 0...).map {
        isUsed[$1 / columns] ? elementType.rounding($0) : .nan
      }
    }
    let keys = stored(shape.kvHeads * shape.headDimension)
    let values = stored(shape.kvHeads * shape.valueDimension)
    let cache = try filledCache(keys, values, device)
    // Products of bf16 in pairs see the scaled query and the weights rounded to bf16; functors of
    // keys and values leave floats.
    let rounds =
      device.roundsProducts(of: elementType)
      && !variant.functors.contains { $0.kind == .value }
    // The oracle cannot follow the rounding of what functors make of queries and keys.
    let roundsFunctors =
      rounds && variant.functors.contains { $0.kind == .key || $0.kind == .query }
    let results =
      try [1, 2, 7].map { try run(queries, cache, plan(device, workers: $0), rounds: rounds) }
      + [run(queries, cache, boundedPlan(device, workers: 5), rounds: rounds)]

    let oracle = DenseAttention(
      shape: shape, variant: variant, tensors: tensors,
      lengths: (0..<batch.requestCount).map {
        (batch.queries[$0].count, Int(batch.pages.kvLengths[$0]))
      })
    var worst = results.map { _ in (output: 0.0, lse: 0.0) }
    for r in 0..<batch.requestCount {
      let request = request(r, queries, keys, values, rounds: rounds && !roundsFunctors)
      for i in 0..<request.queryLength {
        let token = batch.queries[r].lowerBound + i
        for head in 0..<shape.queryHeads {
          let expected = oracle.row(i, head: head, of: request)
          for (n, result) in results.enumerated() {
            let error = error(of: result, row: token * shape.queryHeads + head, expected)
            worst[n].output = max(worst[n].output, error.output)
            worst[n].lse = max(worst[n].lse, error.lse)
          }
        }
      }
    }
    for (result, error) in zip(results, worst) {
      #expect(
        error.output <= (rounds ? 1e-2 : 1e-5) && error.lse <= (roundsFunctors ? 5e-3 : 1e-5),
        "\(comment), \(variant.name), \(result.workers) workers: \(error)")
    }
  }

  private func error(of result: Result, row: Int, _ expected: (output: [Double], lse: Double))
    -> (output: Double, lse: Double)
  {
    let start = row * shape.valueDimension
    let found = result.output[start..<start + shape.valueDimension]
    let sum = Double(result.lse[row])
    if expected.lse == -.infinity {
      let isExact = sum == -.infinity && found.allSatisfy { $0 == 0 }
      return isExact ? (0, 0) : (.infinity, .infinity)
    }
    // Where weights are rounded, an output that cancels out keeps less than its values' precision.
    let size = max(expected.output.map(abs).max() ?? 0, result.rounds ? 0.3 : 0)
    let output = zip(found, expected.output).map { abs(Double($0) - $1) / size }.reduce(0) {
      $1.isNaN ? .infinity : max($0, $1)
    }
    return (output, sum.isNaN ? .infinity : abs(sum - expected.lse) / (1 + abs(expected.lse)))
  }

  private func filledCache(_ keys: [Float], _ values: [Float], _ device: CPUDevice) throws
    -> PagedKVCache
  {
    let cache = try PagedKVCache(
      pageCount: pageCount, pageSize: batch.pages.pageSize, kvHeads: shape.kvHeads,
      headDimension: shape.headDimension, valueDimension: shape.valueDimension,
      elementType: elementType)
    var (keys, values) = (keys, values)
    let slots = pageCount * batch.pages.pageSize
    try keys.withUnsafeMutableBufferPointer { keys in
      try values.withUnsafeMutableBufferPointer { values in
        try cache.append(
          keys: MatrixView(
            try #require(keys.baseAddress), rows: slots,
            columns: shape.kvHeads * shape.headDimension),
          values: MatrixView(
            try #require(values.baseAddress), rows: slots,
            columns: shape.kvHeads * shape.valueDimension),
          slots: Array(0..<slots), on: device)
      }
    }
    return cache
  }

  private func plan(_ device: CPUDevice, workers: Int) throws -> AttentionPlan {
    try AttentionPlan(
      device: device, shape: shape, variant: variant, batch: batch, tensors: tensors,
      workers: workers)
  }

  /// A batch-invariant plan whose bounds the batch just fits: nothing moves.
  private func boundedPlan(_ device: CPUDevice, workers: Int) throws -> AttentionPlan {
    let hasRows = batch.rows != nil || !batch.pages.positions.isEmpty
    let plan = try AttentionPlan(
      device: device, shape: shape, variant: variant, workers: workers, isBatchInvariant: true,
      bounds: AttentionBounds(
        requests: batch.requestCount, queryRows: batch.queries.total,
        pages: batch.rows?.pages.count ?? batch.pages.indices.count,
        pageSize: batch.pages.pageSize,
        blockRows: batch.rows?.count ?? (hasRows ? batch.requestCount : 0)))
    let addresses = plan.addresses
    try plan.update(batch, tensors: tensors)
    #expect(plan.addresses == addresses)
    return plan
  }

  /// Runs a plan; outputs start as NaN.
  private func run(
    _ queries: [Float], _ cache: PagedKVCache, _ plan: AttentionPlan, rounds: Bool
  ) throws -> Result {
    let tokens = batch.queries.total
    let columns = shape.queryHeads * shape.valueDimension
    var queries = queries
    var result = Result(
      workers: plan.workers, rounds: rounds,
      output: [Float](repeating: .nan, count: max(tokens * columns, 1)),
      lse: [Float](repeating: .nan, count: max(tokens * shape.queryHeads, 1)))
    try queries.withUnsafeMutableBufferPointer { queries in
      try result.output.withUnsafeMutableBufferPointer { output in
        try result.lse.withUnsafeMutableBufferPointer { lse in
          try plan.run(
            queries: MatrixView(
              try #require(queries.baseAddress), rows: tokens,
              columns: shape.queryHeads * shape.headDimension),
            cache: cache,
            output: MatrixView(try #require(output.baseAddress), rows: tokens, columns: columns),
            lse: .natural(
              MatrixView(try #require(lse.baseAddress), rows: tokens, columns: shape.queryHeads)))
        }
      }
    }
    return result
  }

  /// The slots that some query looks at.
  private func usedSlots() -> [Bool] {
    var isUsed = [Bool](repeating: false, count: pageCount * batch.pages.pageSize)
    for r in 0..<batch.requestCount {
      for position in 0..<Int(batch.pages.kvLengths[r]) {
        guard let slot = slot(r, position) else { continue }
        isUsed[slot] =
          isUsed[slot]
          || (0..<batch.queries[r].count).contains { i in
            (0..<shape.kvHeads).contains { attends(r, i, $0, position) }
          }
      }
    }
    return isUsed
  }

  private func request(
    _ r: Int, _ queries: [Float], _ keys: [Float], _ values: [Float], rounds: Bool
  ) -> DenseAttention.Request {
    let shape = shape
    let scale = variant.scale ?? 1 / Float(shape.headDimension).squareRoot()
    let first = batch.queries[r].lowerBound
    func row(_ all: [Float], _ row: Int?, _ heads: Int, _ head: Int, _ size: Int) -> [Float] {
      guard let row else { return [Float](repeating: .nan, count: size) }
      let start = (row * heads + head) * size
      return Array(all[start..<start + size])
    }
    var request = DenseAttention.Request(
      number: r, queryLength: batch.queries[r].count, kvLength: Int(batch.pages.kvLengths[r]),
      query: {
        let query = row(queries, first + $0, shape.queryHeads, $1, shape.headDimension)
        return rounds ? query.map { ElementType.bfloat16.rounding($0 * scale) / scale } : query
      },
      key: { row(keys, slot(r, $0), shape.kvHeads, $1, shape.headDimension) },
      value: { row(values, slot(r, $0), shape.kvHeads, $1, shape.valueDimension) })
    request.attends = { i, head, position in
      slot(r, position) != nil && attends(r, i, head, position)
    }
    return request
  }
}
