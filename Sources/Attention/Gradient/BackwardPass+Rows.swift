internal import CMicrokernels
internal import Tensors

// Rows between the caller's matrices and the workspace.
extension BackwardPass {
  /// The query of a packed row and its head.
  @inline(__always)
  func place(_ work: UnitWork, row: Int) -> (query: Int, queryHead: Int) {
    let (query, member) = row.quotientAndRemainder(dividingBy: group)
    return (query, work.unit.head * group + member)
  }

  /// δ and the log-sum-exp of every row.
  func gatherRowFacts(_ work: UnitWork) {
    guard let lse else { return }
    for row in 0..<work.rows {
      let (query, head) = place(work, row: row)
      let token = work.firstQuery + query
      let sum = kernels.gradient.dot(
        outputGradient.row(token) + head * valueDimension,
        output.row(token) + head * valueDimension, valueDimension)
      let natural = lse.row(token)[head]
      work.scratch.delta[row] = sum - (lseGradient?.row(token)[head] ?? 0)
      work.scratch.lse[row] = natural == -.infinity ? .infinity : natural
    }
  }

  /// A tile's queries and output gradients.
  func gatherQueries(_ work: UnitWork, _ tile: GradientTile) {
    for i in 0..<tile.rows {
      let (query, head) = place(work, row: tile.firstRow + i)
      let token = work.firstQuery + query
      (work.scratch.queries + i * headPitch).update(
        from: queries.row(token) + head * headDimension, count: headDimension)
      (work.scratch.outputGradients + i * valuePitch).update(
        from: outputGradient.row(token) + head * valueDimension, count: valueDimension)
    }
  }

  /// A tile's keys, scaled, and its values; their gradients start at 0.
  ///
  /// Row by row, and as panels for the products by their transposes.
  func gatherKeys(_ work: UnitWork, first: Int, count: Int) {
    let scratch = work.scratch
    for i in 0..<count {
      let token = work.firstKey + first + i
      kernels.scale(
        keys.row(token) + work.unit.head * headDimension, headDimension, scale,
        scratch.keys + i * headPitch)
      (scratch.values + i * valuePitch).update(
        from: values.row(token) + work.unit.head * valueDimension, count: valueDimension)
    }
    kernels.gradient.transpose(
      scratch.keys, headPitch, count, headDimension, scratch.keyPanels)
    kernels.gradient.transpose(
      scratch.values, valuePitch, count, valueDimension, scratch.valuePanels)
    scratch.keyGradients.update(repeating: 0, count: count * headPitch)
    scratch.valueGradients.update(repeating: 0, count: count * valuePitch)
  }

  /// A tile's gradients of keys and values, which are its own.
  func writeKeyGradients(_ work: UnitWork, first: Int, count: Int) {
    let scratch = work.scratch
    for i in 0..<count {
      let token = work.firstKey + first + i
      kernels.scale(
        scratch.keyGradients + i * headPitch, headDimension, scale,
        keyGradient.row(token) + work.unit.head * headDimension)
      (valueGradient.row(token) + work.unit.head * valueDimension).update(
        from: scratch.valueGradients + i * valuePitch, count: valueDimension)
    }
  }

  /// The gradient of the queries of a request whose keys were not cut.
  func writeQueryGradients(_ work: UnitWork) {
    for row in 0..<work.rows {
      let (query, head) = place(work, row: row)
      (queryGradient.row(work.firstQuery + query) + head * headDimension).update(
        from: work.queryGradients + row * headPitch, count: headDimension)
    }
  }
}
