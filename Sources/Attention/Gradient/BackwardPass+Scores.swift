internal import CMicrokernels
import Glibc
internal import Tensors

// A tile of scores: which of them count, and the gradient through them.
extension BackwardPass {
  /// The panels of a key tile that the bounds leave to any of a tile's queries.
  func columns(_ work: UnitWork, _ tile: GradientTile) -> Range<Int> {
    var (first, last) = (tile.firstKey, tile.firstKey + tile.keys - 1)
    let start = work.firstPosition + tile.firstRow / group
    let end = work.firstPosition + (tile.firstRow + tile.rows - 1) / group
    for i in 0..<boundCount {
      let (a, b) = (limit(i, start, work), limit(i, end, work))
      if bounds[i].isUpper { last = min(last, max(a, b)) } else { first = max(first, min(a, b)) }
    }
    guard first <= last else { return 0..<0 }
    let panel = Int(SWA_PRODUCT_GROUP)
    let lower = (first - tile.firstKey) / panel * panel
    return lower..<(last - tile.firstKey) / panel * panel + panel
  }

  /// What is left of a tile: nothing where the bounds say so, else what the rest of the mask says.
  func coverage(_ work: UnitWork, _ tile: GradientTile) -> TileCoverage {
    if tile.columns.isEmpty { return .empty }
    guard let residual else { return .full }
    let keys = tile.present
    let start = work.firstPosition + tile.firstRow / group
    let end = work.firstPosition + (tile.firstRow + tile.rows - 1) / group
    let head = work.unit.head
    let places = PlaceRange(
      query: start...end,
      kv: tile.firstKey + keys.lowerBound...tile.firstKey + keys.upperBound - 1,
      queryHead: head * group...head * group + group - 1, kvHead: head...head,
      request: work.unit.request...work.unit.request,
      queryLength: work.queryLength...work.queryLength, kvLength: work.kvLength...work.kvLength)
    return residual.coverage(over: places, data)
  }

  /// A bound on the keys of a query.
  @inline(__always)
  private func limit(_ bound: Int, _ query: Int, _ work: UnitWork) -> Int {
    bounds[bound].limit(
      query: query, kvLength: work.kvLength, queryLength: work.queryLength)
  }

  /// From scores x and dP to weights P and the scores' gradient dX, a few rows at a time; the
  /// derivatives by parameters are added up on the way.
  func differentiateScores(_ work: UnitWork, _ tile: GradientTile, isFull: Bool) {
    let view = isFull ? unmasked : masked
    let count = tile.columns.count
    var memory = prepare(view.program, work, tile)
    memory.register_size = view.registerSize
    for first in stride(from: 0, to: tile.rows, by: view.rowGroup) {
      let rows = min(view.rowGroup, tile.rows - first)
      let offset = first * GradientWorkspace.scorePitch + tile.columns.lowerBound
      if !view.program.isEmpty {
        memory.block = work.scratch.scores + offset
        memory.row_values = UnsafePointer(work.scratch.rowValues + first)
        memory.row_pointers = UnsafePointer(work.scratch.pointers + first)
        memory.row_bits = UnsafePointer(work.scratch.bits + first)
        view.program.run(&memory, rows: rows, width: count, kernels)
      }
      for i in 0..<rows { differentiateRow(i, of: first, view, work, tile) }
    }
  }

  /// One row: `row` of the rows from `first` on that went through the program together.
  private func differentiateRow(
    _ i: Int, of first: Int, _ view: ScoreProgram.View, _ work: UnitWork, _ tile: GradientTile
  ) {
    let scratch = work.scratch
    let row = tile.firstRow + first + i
    let offset = (first + i) * GradientWorkspace.scorePitch + tile.columns.lowerBound
    let scores = scratch.scores + offset
    let gradients = scratch.scoreGradients + offset
    let count = tile.columns.count
    clip(scores, work, tile, query: work.firstPosition + row / group)
    if usesSoftmax {
      kernels.gradient.softmax(scores, gradients, count, scratch.lse[row], scratch.delta[row])
    } else {
      kernels.gradient.unnormalized(scores, gradients, count)
    }
    func result(_ number: Int) -> UnsafeMutablePointer<Float> {
      scratch.registers + view.results[number] * view.registerSize
        + i * GradientWorkspace.scorePitch
    }
    for p in 0..<scoreParameterCount {
      work.sums[scoreParameters[p] * group + row % group] += Double(
        kernels.gradient.weighted_sum(gradients, result(p + (hasSlope ? 1 : 0)), count))
    }
    if hasSlope { kernels.gradient.chain(result(0), gradients, count) }
  }

  /// What a program needs of a tile's columns and rows.
  private func prepare(_ program: BlockProgram.View, _ work: UnitWork, _ tile: GradientTile)
    -> swa_tile_memory
  {
    var memory = swa_tile_memory()
    if program.isEmpty { return memory }
    let (scratch, pitch) = (work.scratch, GradientWorkspace.scorePitch)
    memory.block_pitch = pitch
    memory.registers = scratch.registers
    memory.register_pitch = pitch
    memory.columns = UnsafePointer(scratch.columns)
    memory.column_pitch = pitch
    memory.row_values = UnsafePointer(scratch.rowValues)
    memory.row_value_pitch = GradientWorkspace.tileRows
    memory.row_pointer_pitch = GradientWorkspace.tileRows
    memory.first = tile.firstKey + tile.columns.lowerBound
    memory.masked = -.infinity
    for i in 0..<tile.rows {
      prepareRow(i, program, rowPlace(work, row: tile.firstRow + i), scratch)
    }
    if program.columnStepCount > 0 {
      var columns = memory
      columns.registers = scratch.columns
      columns.register_size = pitch
      program.runColumns(&columns, width: tile.columns.count, kernels)
    }
    return memory
  }

  /// Where a packed row stands.
  func rowPlace(_ work: UnitWork, row: Int) -> ScorePlace {
    let (query, head) = place(work, row: row)
    var here = ScorePlace()
    here.query = work.firstPosition + query
    here.queryHead = head
    here.kvHead = work.unit.head
    here.request = work.unit.request
    here.queryLength = work.queryLength
    here.kvLength = work.kvLength
    return here
  }

  private func prepareRow(
    _ i: Int, _ program: BlockProgram.View, _ place: ScorePlace, _ scratch: GradientScratch
  ) {
    let pitch = GradientWorkspace.tileRows
    if program.tokens.outputCount > 0 {
      program.tokens.run(at: place, data, scratch.scalars)
      for j in 0..<program.tokens.outputCount {
        scratch.rowValues[j * pitch + i] = Float(scratch.scalars[program.tokens.outputs[j]])
      }
    }
    for j in 0..<program.pointerCount {
      switch program.pointers[j] {
      case .tensor(let number):
        scratch.pointers[j * pitch + i] = UnsafeRawPointer(data.keys(number, at: place))
        scratch.bits[j * pitch + i] = 0
      case .mask(let number):
        let (bytes, bit) = data.bits(number, at: place)
        scratch.pointers[j * pitch + i] = UnsafeRawPointer(bytes)
        scratch.bits[j * pitch + i] = bit
      }
    }
  }

  /// The derivatives by the parameters of attention sinks.
  ///
  /// A sink of logit σ weighs p = e^(σ − LSE) and has no value: dσ = −p·δ.
  func differentiateSinks(_ work: UnitWork) {
    if sinks.outputCount == 0 || parameterCount == 0 { return }
    let scratch = work.scratch
    for row in 0..<work.rows {
      sinks.run(at: rowPlace(work, row: row), data, scratch.scalars)
      for sink in stride(from: 0, to: sinks.outputCount, by: 1 + parameterCount) {
        let logit = scratch.scalars[sinks.outputs[sink]]
        let gradient = -exp(logit - Double(scratch.lse[row])) * Double(scratch.delta[row])
        for p in 0..<parameterCount {
          work.sums[p * group + row % group] +=
            gradient * scratch.scalars[sinks.outputs[sink + 1 + p]]
        }
      }
    }
  }

  /// Overwrites the scores of keys outside the bounds, and of a last panel's missing keys.
  private func clip(
    _ scores: UnsafeMutablePointer<Float>, _ work: UnitWork, _ tile: GradientTile, query: Int
  ) {
    let start = tile.firstKey + tile.columns.lowerBound
    var (first, last) = (start, start + tile.present.count - 1)
    for i in 0..<boundCount {
      let limit = limit(i, query, work)
      if bounds[i].isUpper { last = min(last, limit) } else { first = max(first, limit) }
    }
    let head = min(first - start, tile.columns.count)
    if head > 0 { scores.update(repeating: -.infinity, count: head) }
    let kept = max(last + 1 - start, 0)
    if kept < tile.columns.count {
      (scores + kept).update(repeating: -.infinity, count: tile.columns.count - kept)
    }
  }
}
