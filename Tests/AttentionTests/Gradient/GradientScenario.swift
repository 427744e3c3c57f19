import Attention
import Devices
import Tensors
import Testing

/// A batch of ragged tensors, attention's gradient of it, and the oracle's.
struct GradientScenario {
  var shape = AttentionShape(queryHeads: 4, kvHeads: 2, headDimension: 64)
  var variant = AttentionVariant.causal
  /// Queries and keys of each request.
  var lengths: [(query: Int, kv: Int)] = [(7, 7)]
  /// The data of the variant's tensors.
  var tensors: VariantTensors?
  /// Whether the loss depends on the log-sum-exp too.
  var usesLSE = true
  var seed: UInt64 = 1

  /// Tensors at addresses of their own, each row followed by a few floats that belong to nobody.
  final class Tensor {
    let buffer: AlignedBuffer
    let view: MatrixView

    init(_ rows: Int, _ columns: Int, _ value: () -> Float) {
      let stride = columns + 3
      // A page more would hide a read past the end; so would alignment.
      buffer = AlignedBuffer(byteCount: max(rows * stride, 1) * 4)
      let floats = buffer.elements(Float.self)
      for i in floats.indices { floats[i] = .nan }
      view = MatrixView(
        floats.baseAddress.unsafelyUnwrapped, rows: rows, columns: columns, stride: stride)
      for r in 0..<rows { for c in 0..<columns { view.row(r)[c] = value() } }
    }

    /// What the tensor holds.
    var values: [Float] {
      (0..<view.rows).flatMap { r in (0..<view.columns).map { view.row(r)[$0] } }
    }

    /// Whether nothing was written between the rows.
    var isIntact: Bool {
      (0..<view.rows).allSatisfy { r in
        (view.columns..<view.stride).allSatisfy { view.row(r)[$0].isNaN }
      }
    }

    /// The elements of one head.
    func head(_ row: Int, _ head: Int, _ dimension: Int) -> [Float] {
      (0..<dimension).map { view.row(row)[head * dimension + $0] }
    }
  }

  /// The tensors of a scenario.
  struct Material {
    let queries, keys, values, outputGradient, lseGradient: Tensor
    let queryRows, keyRows: RaggedIndex

    init(_ scenario: GradientScenario) throws {
      let shape = scenario.shape
      var random = Random(scenario.seed)
      queryRows = try RaggedIndex(lengths: scenario.lengths.map(\.query))
      keyRows = try RaggedIndex(lengths: scenario.lengths.map(\.kv))
      let (q, k) = (queryRows.total, keyRows.total)
      queries = Tensor(q, shape.queryHeads * shape.headDimension) { random.float() * 2 }
      keys = Tensor(k, shape.kvHeads * shape.headDimension) { random.float() * 2 }
      values = Tensor(k, shape.kvHeads * shape.valueDimension) { random.float() }
      outputGradient = Tensor(q, shape.queryHeads * shape.valueDimension) { random.float() }
      lseGradient = Tensor(q, shape.queryHeads) { random.float() }
    }
  }

  /// What forward and backward left.
  struct Result {
    let output, lse, queryGradient, keyGradient, valueGradient: Tensor
    var parameters: ParameterGradient

    /// All bits.
    var bits: [UInt64] {
      [output, lse, queryGradient, keyGradient, valueGradient].flatMap { tensor in
        tensor.values.map { UInt64($0.bitPattern) }
      } + parameters.scalars.map(\.bitPattern) + parameters.vectors.joined().map(\.bitPattern)
    }
  }

  /// Plans and runs both passes; what they write starts as NaN.
  func run(_ material: Material, _ device: CPUDevice, workers: Int = 2) throws -> Result {
    let attention = try DifferentiableAttention(
      device: device, shape: shape, variant: variant, workers: workers)
    try attention.update(
      queries: material.queryRows, keys: material.keyRows, tensors: tensors)
    return try run(material, attention)
  }

  /// Runs both passes of planned attention.
  func run(_ material: Material, _ attention: DifferentiableAttention) throws -> Result {
    let (q, k) = (material.queryRows.total, material.keyRows.total)
    func empty(_ rows: Int, _ columns: Int) -> Tensor { Tensor(rows, columns) { .nan } }
    var result = Result(
      output: empty(q, shape.queryHeads * shape.valueDimension), lse: empty(q, shape.queryHeads),
      queryGradient: empty(q, shape.queryHeads * shape.headDimension),
      keyGradient: empty(k, shape.kvHeads * shape.headDimension),
      valueGradient: empty(k, shape.kvHeads * shape.valueDimension),
      parameters: ParameterGradient(of: variant, queryHeads: shape.queryHeads))
    try attention.forward(
      queries: material.queries.view, keys: material.keys.view, values: material.values.view,
      output: result.output.view, lse: variant.usesSoftmax ? result.lse.view : nil)
    result.parameters = try attention.backward(
      queries: material.queries.view, keys: material.keys.view, values: material.values.view,
      output: result.output.view, lse: variant.usesSoftmax ? result.lse.view : nil,
      outputGradient: material.outputGradient.view,
      lseGradient: usesLSE && variant.usesSoftmax ? material.lseGradient.view : nil,
      queryGradient: result.queryGradient.view, keyGradient: result.keyGradient.view,
      valueGradient: result.valueGradient.view)
    for tensor in [result.queryGradient, result.keyGradient, result.valueGradient] {
      #expect(tensor.isIntact)
    }
    return result
  }

  /// A request as the oracle sees it.
  func request(_ r: Int, _ material: Material) -> DenseAttention.Request {
    let (q, k) = (material.queryRows[r].lowerBound, material.keyRows[r].lowerBound)
    return DenseAttention.Request(
      number: r, queryLength: lengths[r].query, kvLength: lengths[r].kv,
      query: { material.queries.head(q + $0, $1, shape.headDimension) },
      key: { material.keys.head(k + $0, $1, shape.headDimension) },
      value: { material.values.head(k + $0, $1, shape.valueDimension) })
  }

  /// The oracle's gradient of every request.
  func exact(_ material: Material) -> [DenseAttention.Gradient] {
    let oracle = DenseAttention(
      shape: shape, variant: variant, tensors: tensors ?? VariantTensors(), lengths: lengths)
    return lengths.indices.map { r in
      let first = material.queryRows[r].lowerBound
      return oracle.gradient(
        of: request(r, material),
        outputGradient: {
          material.outputGradient.head(first + $0, $1, shape.valueDimension).map(Double.init)
        },
        lseGradient: { usesLSE ? Double(material.lseGradient.view.row(first + $0)[$1]) : 0 })
    }
  }

  /// The largest error of any gradient, relative to the largest element of its tensor.
  func error(_ result: Result, _ exact: [DenseAttention.Gradient]) -> Double {
    func compare(_ found: Tensor, _ expected: [Double]) -> Double {
      Self.error(found.values.map(Double.init), expected)
    }
    var scalars = variant.parameters.scalars.map { _ in 0.0 }
    var vectors = variant.parameters.vectors.map { $0.map { _ in 0.0 } }
    for one in exact {
      for i in scalars.indices { scalars[i] += one.scalars[i] }
      for i in vectors.indices {
        for head in vectors[i].indices { vectors[i][head] += one.vectors[i][head] }
      }
    }
    return [
      compare(result.queryGradient, exact.flatMap { $0.queries.joined().joined() }),
      compare(result.keyGradient, exact.flatMap { $0.keys.joined().joined() }),
      compare(result.valueGradient, exact.flatMap { $0.values.joined().joined() }),
      // Parameters' gradients are sums over all scores: of many terms of either sign.
      Self.error(result.parameters.scalars, scalars) / 10,
      Self.error(result.parameters.vectors.flatMap { $0 }, vectors.flatMap { $0 }) / 10,
    ].max() ?? 0
  }

  /// The largest difference relative to the largest expected element; where that is 0 it must be
  /// met exactly.
  static func error(_ found: [Double], _ expected: [Double]) -> Double {
    guard found.count == expected.count else { return .infinity }
    let size = expected.map(abs).max() ?? 0
    let worst = zip(found, expected).map { $0.isNaN ? .infinity : abs($0 - $1) }.max() ?? 0
    return worst == 0 ? 0 : worst / size
  }
}
