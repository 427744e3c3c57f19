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

  /// The largest relative error of outputs and log-sum-exps; infinite where an empty row is not
  /// exactly 0 and −∞.
  func error(_ device: CPUDevice, workers: Int) throws -> (output: Double, lse: Double) {
    var random = Random(seed)
    let pageSize = batch.pages.pageSize
    let tokens = batch.queries.total
    func floats(_ count: Int) -> [Float] { (0..<count).map { _ in random.float() } }
    let slots = pageCount * pageSize
    var queries = floats(max(tokens, 1) * shape.queryHeads * shape.headDimension)
    var keys = floats(slots * shape.kvHeads * shape.headDimension)
      .map(elementType.rounding)
    var values = floats(slots * shape.kvHeads * shape.valueDimension)
      .map(elementType.rounding)

    let isUsed = usedSlots()
    let cache = try PagedKVCache(
      pageCount: pageCount, pageSize: pageSize, kvHeads: shape.kvHeads,
      headDimension: shape.headDimension, valueDimension: shape.valueDimension,
      elementType: elementType)
    for i in keys.indices where !isUsed[i / (shape.kvHeads * shape.headDimension)] {
      keys[i] = .nan
    }
    for i in values.indices where !isUsed[i / (shape.kvHeads * shape.valueDimension)] {
      values[i] = .nan
    }
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

    let columns = shape.queryHeads * shape.valueDimension
    var output = [Float](repeating: .nan, count: max(tokens * columns, 1))
    var lse = [Float](repeating: .nan, count: max(tokens * shape.queryHeads, 1))
    let plan = try AttentionPlan(
      device: device, shape: shape, variant: variant, batch: batch, tensors: tensors,
      workers: workers)
    try queries.withUnsafeMutableBufferPointer { queries in
      try output.withUnsafeMutableBufferPointer { output in
        try lse.withUnsafeMutableBufferPointer { lse in
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

    let oracle = DenseAttention(
      shape: shape, variant: variant, tensors: tensors,
      lengths: (0..<batch.requestCount).map {
        (batch.queries[$0].count, Int(batch.pages.kvLengths[$0]))
      })
    var worst = (output: 0.0, lse: 0.0)
    for r in 0..<batch.requestCount {
      let request = request(r, queries, keys, values)
      for i in 0..<request.queryLength {
        let token = batch.queries[r].lowerBound + i
        for head in 0..<shape.queryHeads {
          let expected = oracle.row(i, head: head, of: request)
          let start = token * columns + head * shape.valueDimension
          let found = output[start..<start + shape.valueDimension]
          let sum = Double(lse[token * shape.queryHeads + head])
          if expected.lse == -.infinity {
            if sum != -.infinity || !found.allSatisfy({ $0 == 0 }) {
              return (.infinity, .infinity)
            }
            continue
          }
          let size = expected.output.map(abs).max() ?? 0
          for (a, b) in zip(found, expected.output) {
            worst.output = max(worst.output, a.isNaN ? .infinity : abs(Double(a) - b) / size)
          }
          worst.lse = max(
            worst.lse, sum.isNaN ? .infinity : abs(sum - expected.lse) / (1 + abs(expected.lse)))
        }
      }
    }
    return worst
  }

  /// Checks several numbers of workers.
  func check(_ device: CPUDevice, _ comment: Comment = "") throws {
    for workers in [1, 2, 7] {
      let error = try error(device, workers: workers)
      #expect(
        error.output <= 1e-5 && error.lse <= 1e-5,
        "\(comment), \(variant.name), \(workers) workers: \(error)")
    }
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

  private func request(_ r: Int, _ queries: [Float], _ keys: [Float], _ values: [Float])
    -> DenseAttention.Request
  {
    let shape = shape
    let first = batch.queries[r].lowerBound
    func row(_ all: [Float], _ row: Int?, _ heads: Int, _ head: Int, _ size: Int) -> [Float] {
      guard let row else { return [Float](repeating: .nan, count: size) }
      let start = (row * heads + head) * size
      return Array(all[start..<start + size])
    }
    var request = DenseAttention.Request(
      number: r, queryLength: batch.queries[r].count, kvLength: Int(batch.pages.kvLengths[r]),
      query: { row(queries, first + $0, shape.queryHeads, $1, shape.headDimension) },
      key: { row(keys, slot(r, $0), shape.kvHeads, $1, shape.headDimension) },
      value: { row(values, slot(r, $0), shape.kvHeads, $1, shape.valueDimension) })
    request.attends = { i, head, position in
      slot(r, position) != nil && attends(r, i, head, position)
    }
    return request
  }
}
