internal import CMicrokernels
internal import Devices
internal import Tensors

/// One backward pass as its threads see it: plain numbers and pointers.
///
/// FlashAttention-2's recomputation (arXiv 2307.08691, Algorithm 2): with x = scale·q·k,
/// z = logits(x) and p = e^(z − LSE),
///
///     dV = Pᵀ·dO                      dP = dO·Vᵀ
///     dZ = P ∘ (dP − δ)               δ = Σ dO·O − dLSE, one for each row
///     dX = dZ ∘ ∂z/∂x                 dθ = Σ dZ ∘ ∂z/∂θ
///     dQ = scale·dX·K                 dK = scale·dXᵀ·Q
///
/// (without softmax P = Z and dZ = dP) tile by tile: nothing of the size of queries × keys is kept. The rows of a tile are packed
/// (query, head of the group), so a key's gradient sums over its group in that order.
///
/// - Invariant: Every pointer belongs to the attention, its workspace or the caller's matrices,
///   which outlive the pass; all shapes have been checked.
struct BackwardPass {
  let kernels: swa_attention_kernels
  let shape: AttentionShape
  let group: Int
  let scale: Float

  let queries: MatrixView
  let keys: MatrixView
  let values: MatrixView
  let output: MatrixView
  let lse: MatrixView?
  let outputGradient: MatrixView
  let lseGradient: MatrixView?
  let queryGradient: MatrixView
  let keyGradient: MatrixView
  let valueGradient: MatrixView

  let queryOffsets: UnsafePointer<Int>
  let keyOffsets: UnsafePointer<Int>
  let bounds: UnsafePointer<MaskBounds.Bound>
  let boundCount: Int
  /// The part of the mask that bounds do not cover.
  let residual: Expression?
  let usesSoftmax: Bool
  let data: ParameterData
  let masked: ScoreProgram.View
  let unmasked: ScoreProgram.View
  let hasSlope: Bool
  /// The parameters whose derivatives the programs leave.
  let scoreParameters: UnsafePointer<Int>
  let scoreParameterCount: Int
  let sinks: ScalarProgram.View
  /// The parameters that have a gradient.
  let parameterCount: Int

  let scratches: UnsafePointer<GradientScratch>
  let partials: UnsafeMutablePointer<Float>
  /// Of each unit, each parameter and each head of the group: its derivative.
  let sums: UnsafeMutablePointer<Double>

  var headDimension: Int { shape.headDimension }
  var valueDimension: Int { shape.valueDimension }
  /// Floats from one row to the next in the workspace.
  var headPitch: Int { GradientWorkspace.pitch(headDimension) }
  var valuePitch: Int { GradientWorkspace.pitch(valueDimension) }
}

/// A unit with what follows from it.
struct UnitWork {
  let unit: GradientUnit
  let scratch: GradientScratch
  let firstQuery: Int
  let queryLength: Int
  let firstKey: Int
  let kvLength: Int
  /// Packed rows.
  let rows: Int
  /// The gradient of the queries, of all rows.
  let queryGradients: UnsafeMutablePointer<Float>
  /// The derivatives by parameters, `parameter × member`.
  let sums: UnsafeMutablePointer<Double>

  /// Absolute position of the request's first query.
  var firstPosition: Int { kvLength - queryLength }
}

/// A tile: packed rows and keys.
struct GradientTile {
  /// The first packed row.
  var firstRow: Int
  var rows: Int
  /// The first key of the key tile, whole panels before those that count.
  var firstKey: Int
  /// Keys of the key tile that exist.
  var keys: Int
  /// The columns of the score tile that count: whole panels.
  var columns: Range<Int> = 0..<0

  /// Columns that count and exist.
  var present: Range<Int> { columns.clamped(to: 0..<keys) }
}

extension BackwardPass {
  /// One unit: its key tiles one after the other, each against all queries that see it.
  func run(_ unit: GradientUnit, _ scratch: GradientScratch) {
    let work = begin(unit, scratch)
    gatherRowFacts(work)
    if unit.keyFirst == 0 { differentiateSinks(work) }
    for firstKey in stride(from: unit.keyFirst, to: unit.keyEnd, by: GradientWorkspace.tileKeys) {
      let count = min(GradientWorkspace.tileKeys, unit.keyEnd - firstKey)
      gatherKeys(work, first: firstKey, count: count)
      for row in stride(from: 0, to: work.rows, by: GradientWorkspace.tileRows) {
        var tile = GradientTile(
          firstRow: row, rows: min(GradientWorkspace.tileRows, work.rows - row),
          firstKey: firstKey, keys: count)
        tile.columns = columns(work, tile)
        let coverage = coverage(work, tile)
        if coverage == .empty { continue }
        gatherQueries(work, tile)
        recomputeScores(work, tile)
        differentiateScores(work, tile, isFull: coverage == .full)
        accumulate(work, tile)
      }
      writeKeyGradients(work, first: firstKey, count: count)
    }
    if unit.partialRow < 0 { writeQueryGradients(work) }
  }

  private func begin(_ unit: GradientUnit, _ scratch: GradientScratch) -> UnitWork {
    let queryLength = queryOffsets[unit.request + 1] - queryOffsets[unit.request]
    let rows = queryLength * group
    let work = UnitWork(
      unit: unit, scratch: scratch, firstQuery: queryOffsets[unit.request],
      queryLength: queryLength, firstKey: keyOffsets[unit.request],
      kvLength: keyOffsets[unit.request + 1] - keyOffsets[unit.request], rows: rows,
      queryGradients: unit.partialRow < 0
        ? scratch.queryGradients : partials + unit.partialRow * headPitch,
      sums: sums + unit.number * parameterCount * group)
    work.queryGradients.update(repeating: 0, count: rows * headPitch)
    work.sums.update(repeating: 0, count: parameterCount * group)
    return work
  }

  /// The gradients that were left in parts, added up in the order of their keys.
  func merge(_ merge: GradientMerge) {
    let first = queryOffsets[merge.request]
    let rows = (queryOffsets[merge.request + 1] - first) * group
    let parts = partials + merge.partialRow * headPitch
    for row in 0..<rows {
      let target = parts + row * headPitch
      for part in 1..<merge.count {
        let other = target + part * rows * headPitch
        for i in 0..<headDimension { target[i] += other[i] }
      }
      let (query, member) = row.quotientAndRemainder(dividingBy: group)
      let head = merge.head * group + member
      (queryGradient.row(first + query) + head * headDimension).update(
        from: target, count: headDimension)
    }
  }
}
