import Attention
import Devices
import Tensors

// Attention's backward pass, against the dense reference's in Double.
extension Checker {
  /// Head dimensions within, at and beyond a vector, groups, and variants with and without programs.
  func checkGradient() throws {
    for (dimension, group) in [(17, 1), (40, 3), (64, 1), (80, 8), (128, 3)] {
      let heads = group == 1 ? 2 : group
      for variant in [
        AttentionVariant.causal, .causal.combined(with: .softCap(0.5)),
        .full.combined(with: .alibi(heads: heads)),
      ] {
        let shape = AttentionShape(
          queryHeads: heads, kvHeads: heads / group, headDimension: dimension,
          valueDimension: dimension + group)
        try check(shape, variant, [(7, 19), (3, 2), (1, 0), (0, 4)])
      }
    }
    // Several tiles of rows and of keys.
    let shape = AttentionShape(queryHeads: 2, kvHeads: 1, headDimension: 24)
    try check(shape, .causal, [(29, 203)])
  }

  private func check(
    _ shape: AttentionShape, _ variant: AttentionVariant, _ lengths: [(query: Int, kv: Int)]
  ) throws {
    Matrix.releaseAll()
    let queryRows = try RaggedIndex(lengths: lengths.map(\.query))
    let keyRows = try RaggedIndex(lengths: lengths.map(\.kv))
    let (wide, wideValues) = (
      shape.queryHeads * shape.headDimension, shape.queryHeads * shape.valueDimension
    )
    let queries = Matrix(queryRows.total, wide, &random)
    let keys = Matrix(keyRows.total, shape.kvHeads * shape.headDimension, &random)
    let values = Matrix(keyRows.total, shape.kvHeads * shape.valueDimension, &random)
    let outputGradient = Matrix(queryRows.total, wideValues, &random)

    func head(_ matrix: Matrix, _ row: Int, _ head: Int, _ size: Int) -> [Float] {
      (0..<size).map { matrix.view.row(row)[head * size + $0] }
    }
    let oracle = DenseAttention(shape: shape, variant: variant)
    let exact = lengths.indices.map { r in
      let (q, k) = (queryRows[r].lowerBound, keyRows[r].lowerBound)
      let request = DenseAttention.Request(
        number: r, queryLength: lengths[r].query, kvLength: lengths[r].kv,
        query: { head(queries, q + $0, $1, shape.headDimension) },
        key: { head(keys, k + $0, $1, shape.headDimension) },
        value: { head(values, k + $0, $1, shape.valueDimension) })
      return oracle.gradient(of: request) {
        head(outputGradient, q + $0, $1, shape.valueDimension).map { Double($0) }
      }
    }
    let tensors = [
      exact.flatMap { $0.queries.joined().joined() }, exact.flatMap { $0.keys.joined().joined() },
      exact.flatMap { $0.values.joined().joined() },
    ]
    let scale = tensors.flatMap { tensor -> [Double] in
      let size = tensor.reduce(1e-30) { max($0, abs($1)) }
      return tensor.map { _ in size }
    }
    try check(
      .gradient,
      "\(variant.name), \(shape.queryHeads)/\(shape.kvHeads) heads of "
        + "\(shape.headDimension), \(lengths)", limit: 1e-5, exact: tensors.flatMap { $0 },
      scale: scale
    ) { side in
      let attention = try DifferentiableAttention(
        device: devices[side], shape: shape, variant: variant)
      try attention.update(queries: queryRows, keys: keyRows)
      let output = Matrix(poisoned: queryRows.total, wideValues)
      let lse = Matrix(poisoned: queryRows.total, shape.queryHeads)
      let gradients = [queries, keys, values].map {
        Matrix(poisoned: $0.view.rows, $0.view.columns)
      }
      try attention.forward(
        queries: queries.view, keys: keys.view, values: values.view, output: output.view,
        lse: lse.view)
      try attention.backward(
        queries: queries.view, keys: keys.view, values: values.view, output: output.view,
        lse: lse.view, outputGradient: outputGradient.view, queryGradient: gradients[0].view,
        keyGradient: gradients[1].view, valueGradient: gradients[2].view)
      let found = gradients.flatMap(\.values)
      let isIntact = gradients.allSatisfy(\.guardsAreIntact)
      return Matrix(1, found.count) { isIntact ? found[$1] : .nan }
    }
  }
}
