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
  /// Whose memory holds keys and values; a latent cache has one kv head and no values of its own.
  var memory = Memory.own
  /// What stored keys and values are multiplied by, for each kv head.
  var scales: (keys: [Float], values: [Float])?
  var seed: UInt64 = 1
  /// Only every `sample`-th row is asked of the (slow) oracle.
  var sample = 1
  /// Outputs smaller than this are what larger values leave of each other: errors are relative to it.
  var smallestOutput = 0.0

  /// Where keys and values lie.
  enum Memory: CaseIterable {
    case own
    case nhd
    case hnd
    case latent
  }

  /// A way to plan the batch.
  enum Planning {
    case workers(Int, Composition = .automatic)
    /// Batch-invariant, with bounds that the batch just fits.
    case bounded(workers: Int)
  }

  /// What a run left.
  private struct Result {
    var planning: Planning
    var output: [Float]
    var lse: [Float]
  }

  /// Products of bf16 in pairs see the scaled query and the weights rounded to bf16; functors of
  /// values leave floats.
  private func rounds(_ device: CPUDevice) -> Bool {
    device.roundsProducts(of: elementType) && !variant.functors.contains { $0.kind == .value }
  }

  /// Whether products round what functors make of queries and keys, which the oracle cannot follow.
  private func roundsFunctors(_ device: CPUDevice) -> Bool {
    rounds(device) && variant.functors.contains { $0.kind == .key || $0.kind == .query }
  }

  /// Runs with several numbers of workers and compares every row with the oracle's: errors are
  /// relative to the row's largest element, a row that attends to nothing is exactly 0 and −∞.
  ///
  /// - Parameter tolerance: What the limits are multiplied by.
  func check(
    _ device: CPUDevice, _ comment: Comment = "",
    plannings: [Planning] = [.workers(1), .workers(2), .workers(7), .bounded(workers: 5)],
    tolerance: Double = 1
  ) throws {
    let (rounds, roundsFunctors) = (rounds(device), roundsFunctors(device))
    for (planning, error) in zip(plannings, try errors(device, plannings)) {
      #expect(
        error.output <= tolerance * (rounds ? 1e-2 : 1e-5)
          && error.lse <= tolerance * (roundsFunctors ? 5e-3 : 1e-5),
        "\(comment), \(variant.name), \(planning): \(error)")
    }
  }

  /// The largest errors of each way to plan.
  private func errors(_ device: CPUDevice, _ plannings: [Planning]) throws
    -> [(output: Double, lse: Double)]
  {
    var random = Random(seed)
    func floats(_ count: Int) -> [Float] { (0..<count).map { _ in random.float() } }
    let slots = pageCount * batch.pages.pageSize
    let queries = floats(max(batch.queries.total, 1) * shape.queryHeads * shape.headDimension)
    let isUsed = usedSlots()
    func stored(_ size: Int, _ scales: [Float]?) -> [Float] {
      let columns = shape.kvHeads * size
      return zip(floats(slots * columns), 0...).map {
        let scale = scales?[$1 % columns / size] ?? 1
        return isUsed[$1 / columns] ? elementType.rounding($0 / scale) * scale : .nan
      }
    }
    let keys = stored(shape.headDimension, scales?.keys)
    let values =
      memory == .latent
      ? (0..<slots * shape.valueDimension).map {
        keys[$0 / shape.valueDimension * shape.headDimension + $0 % shape.valueDimension]
      } : stored(shape.valueDimension, scales?.values)
    let cache = try emptyCache()
    try fill(cache, keys, values, device)
    let results = try plannings.map { try run(queries, cache, device, $0) }

    let oracle = DenseAttention(
      shape: shape, variant: variant, tensors: tensors,
      lengths: (0..<batch.requestCount).map {
        (batch.queries[$0].count, Int(batch.pages.kvLengths[$0]))
      })
    let rounds = rounds(device)
    // Where weights are rounded, an output that cancels out keeps less than its values' precision.
    let smallest = max(smallestOutput, rounds ? 0.3 : 0)
    var worst = results.map { _ in (output: 0.0, lse: 0.0) }
    for r in 0..<batch.requestCount {
      let request = request(
        r, queries, keys, values, rounds: rounds && !roundsFunctors(device))
      for i in 0..<request.queryLength {
        let token = batch.queries[r].lowerBound + i
        for head in 0..<shape.queryHeads {
          let row = token * shape.queryHeads + head
          if row % sample != 0 { continue }
          let expected = oracle.row(i, head: head, of: request)
          for (n, result) in results.enumerated() {
            let error = error(of: result, row: row, expected, smallest)
            worst[n].output = max(worst[n].output, error.output)
            worst[n].lse = max(worst[n].lse, error.lse)
          }
        }
      }
    }
    return worst
  }

  private func error(
    of result: Result, row: Int, _ expected: (output: [Double], lse: Double), _ smallest: Double
  ) -> (output: Double, lse: Double) {
    let start = row * shape.valueDimension
    let found = result.output[start..<start + shape.valueDimension]
    let sum = Double(result.lse[row])
    let isEmpty = variant.usesSoftmax && expected.lse == -.infinity
    if isEmpty && sum != -.infinity { return (.infinity, .infinity) }
    if isEmpty && expected.output.allSatisfy({ $0 == 0 }) {
      return found.allSatisfy { $0 == 0 } ? (0, 0) : (.infinity, .infinity)
    }
    let size = max(expected.output.map(abs).max() ?? 0, smallest)
    let output = zip(found, expected.output).map {
      Double($0) == $1 ? 0 : abs(Double($0) - $1) / size
    }.reduce(0) { $1.isNaN ? .infinity : max($0, $1) }
    if isEmpty || !variant.usesSoftmax { return (output, 0) }
    return (output, sum.isNaN ? .infinity : abs(sum - expected.lse) / (1 + abs(expected.lse)))
  }

  /// A cache of the case's kind of memory.
  func emptyCache() throws -> PagedKVCache {
    let (pageSize, d, dv) = (batch.pages.pageSize, shape.headDimension, shape.valueDimension)
    switch memory {
    case .own:
      return try PagedKVCache(
        pageCount: pageCount, pageSize: pageSize, kvHeads: shape.kvHeads, headDimension: d,
        valueDimension: dv, elementType: elementType, keyScales: scales?.keys,
        valueScales: scales?.values)
    case .latent:
      return try PagedKVCache(
        latentPages: pageCount, pageSize: pageSize, latentDimension: dv, ropeDimension: d - dv,
        elementType: elementType)
    case .nhd, .hnd:
      let rows = pageCount * pageSize * shape.kvHeads
      let memory = AlignedBuffer(byteCount: rows * (d + dv) * elementType.blockBytes)
      let base = try #require(memory.bytes.baseAddress)
      return try PagedKVCache(
        borrowingKeys: base, values: base + rows * d * elementType.blockBytes,
        layout: self.memory == .nhd ? .nhd : .hnd, pageCount: pageCount, pageSize: pageSize,
        kvHeads: shape.kvHeads, headDimension: d, valueDimension: dv, elementType: elementType,
        keyScales: scales?.keys, valueScales: scales?.values, owner: memory)
    }
  }

  private func fill(
    _ cache: PagedKVCache, _ keys: [Float], _ values: [Float], _ device: CPUDevice
  ) throws {
    var (keys, values) = (keys, values)
    let slots = pageCount * batch.pages.pageSize
    try keys.withUnsafeMutableBufferPointer { keys in
      try values.withUnsafeMutableBufferPointer { values in
        try cache.append(
          keys: MatrixView(
            try #require(keys.baseAddress), rows: slots,
            columns: shape.kvHeads * shape.headDimension),
          values: memory == .latent
            ? nil
            : MatrixView(
              try #require(values.baseAddress), rows: slots,
              columns: shape.kvHeads * shape.valueDimension),
          slots: Array(0..<slots), on: device)
      }
    }
  }

  /// Why the batch may not be decomposed into these runs.
  func refusal(of runs: [SharedRun], _ device: CPUDevice) throws -> AttentionPlan.Failure? {
    do {
      _ = try plan(device, .workers(1, .explicit(runs)))
      return nil
    } catch let failure as AttentionPlan.Failure {
      return failure
    }
  }

  private func plan(_ device: CPUDevice, _ planning: Planning) throws -> AttentionPlan {
    switch planning {
    case .bounded(let workers): return try boundedPlan(device, workers: workers)
    case .workers(let workers, let composition):
      return try AttentionPlan(
        device: device, shape: shape, variant: variant, batch: batch, tensors: tensors,
        workers: workers, composition: composition)
    }
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
    _ queries: [Float], _ cache: PagedKVCache, _ device: CPUDevice, _ planning: Planning
  ) throws -> Result {
    let plan = try plan(device, planning)
    let tokens = batch.queries.total
    let columns = shape.queryHeads * shape.valueDimension
    var queries = queries
    var result = Result(
      planning: planning, output: [Float](repeating: .nan, count: max(tokens * columns, 1)),
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
            lse: variant.usesSoftmax
              ? .natural(
                MatrixView(try #require(lse.baseAddress), rows: tokens, columns: shape.queryHeads))
              : nil)
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
        // A key's own scale goes with the query.
        let factor = scale * (scales?.keys[$1 / shape.groupSize] ?? 1)
        return rounds ? query.map { ElementType.bfloat16.rounding($0 * factor) / factor } : query
      },
      key: { row(keys, slot(r, $0), shape.kvHeads, $1, shape.headDimension) },
      value: { row(values, slot(r, $0), shape.kvHeads, $1, shape.valueDimension) })
    request.attends = { i, head, position in
      slot(r, position) != nil && attends(r, i, head, position)
    }
    return request
  }
}
