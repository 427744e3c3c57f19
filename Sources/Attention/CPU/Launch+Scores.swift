internal import CMicrokernels
internal import Tensors

// What happens to scores between the two products.
extension Launch {
  /// What the mask beyond the bounds makes of a tile.
  func coverage(_ work: HeadItem, _ keyTile: KeyTile) -> TileCoverage {
    guard let residual else { return .full }
    let places = PlaceRange(
      query: work.span.positions, kv: keyTile.first...keyTile.first + keyTile.count - 1,
      queryHead: work.head * group...work.head * group + group - 1,
      kvHead: work.head...work.head, request: work.span.requests,
      queryLength: work.span.queryLengths, kvLength: work.span.kvLengths)
    return residual.coverage(over: places, parameters)
  }

  /// What every row of a tile has once: its bounds, row values and pointers.
  func prepareRows(_ work: HeadItem, _ scratch: Scratch) {
    let variant = scratch.variant
    for row in 0..<work.rows {
      let here = rowPlace(work, row: row, scratch)
      var (first, last) = (0, here.kvLength - 1)
      for i in 0..<boundCount {
        let limit = bounds[i].limit(
          query: here.query, kvLength: here.kvLength, queryLength: here.queryLength)
        if bounds[i].isUpper { last = min(last, limit) } else { first = max(first, limit) }
      }
      variant.firstKeys[row] = first
      variant.lastKeys[row] = last
      evaluate(program, row, at: here, variant, value: 0, pointer: 0)
      evaluate(
        unmasked, row, at: here, variant, value: program.tokens.outputCount,
        pointer: program.pointerCount)
    }
  }

  private func evaluate(
    _ program: BlockProgram.View, _ row: Int, at place: ScorePlace, _ scratch: VariantScratch,
    value: Int, pointer: Int
  ) {
    let pitch = VariantScratch.rowPitch
    if program.tokens.outputCount > 0 {
      program.tokens.run(at: place, parameters, scratch.scalars)
      for i in 0..<program.tokens.outputCount {
        scratch.rowValues[(value + i) * pitch + row] = Float(
          scratch.scalars[program.tokens.outputs[i]])
      }
    }
    for i in 0..<program.pointerCount {
      let slot = (pointer + i) * pitch + row
      switch program.pointers[i] {
      case .tensor(let number):
        scratch.pointers[slot] = UnsafeRawPointer(parameters.keys(number, at: place))
        scratch.bits[slot] = 0
      case .mask(let number):
        let (bytes, bit) = parameters.bits(number, at: place)
        scratch.pointers[slot] = UnsafeRawPointer(bytes)
        scratch.bits[slot] = bit
      }
    }
  }

  /// The variant's logits and mask, its bounds, and the weights that follow, a few rows at a time
  /// so that they stay in the first cache.
  func weigh(
    _ coverage: TileCoverage, _ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch
  ) {
    let isMasked = coverage != .full
    let program = isMasked ? self.program : unmasked
    let variant = scratch.variant
    let pitch = VariantScratch.rowPitch
    let offset =
      isMasked
      ? (value: 0, pointer: 0)
      : (value: self.program.tokens.outputCount, pointer: self.program.pointerCount)
    var memory = swa_tile_memory()
    if !program.isEmpty {
      memory.registers = variant.registers
      memory.register_pitch = AttentionWorkspace.scorePitch
      memory.register_size = AttentionWorkspace.scorePitch * program.rowGroup
      memory.block_pitch = AttentionWorkspace.scorePitch
      memory.columns = UnsafePointer(variant.columns)
      memory.column_pitch = AttentionWorkspace.scorePitch
      memory.row_values = UnsafePointer(variant.rowValues + offset.value * pitch)
      memory.row_value_pitch = pitch
      memory.row_pointer_pitch = pitch
      memory.first = keyTile.first
      memory.masked = maskedWeight
      computeColumns(program, memory, keyTile, variant)
    }
    for first in stride(from: 0, to: work.rows, by: program.rowGroup) {
      let count = min(program.rowGroup, work.rows - first)
      let scores = scratch.scores + first * AttentionWorkspace.scorePitch
      if !program.isEmpty {
        memory.block = scores
        memory.row_values = UnsafePointer(variant.rowValues + offset.value * pitch + first)
        memory.row_pointers = UnsafePointer(variant.pointers + offset.pointer * pitch + first)
        memory.row_bits = UnsafePointer(variant.bits + offset.pointer * pitch + first)
        kernels.run_tile(program.steps, program.count, &memory, count, keyTile.width)
      }
      for row in first..<first + count { clip(row, keyTile, scratch) }
      if usesSoftmax {
        kernels.softmax(
          scores, AttentionWorkspace.scorePitch, count, keyTile.width, scratch.maximum + first,
          scratch.sum + first, scratch.rescale + first)
      }
    }
  }

  /// The vectors that all rows share, once a tile.
  private func computeColumns(
    _ program: BlockProgram.View, _ memory: swa_tile_memory, _ keyTile: KeyTile,
    _ scratch: VariantScratch
  ) {
    if program.columnStepCount == 0 { return }
    var memory = memory
    memory.registers = scratch.columns
    memory.register_size = AttentionWorkspace.scorePitch
    kernels.run_tile(
      program.columnSteps, program.columnStepCount, &memory, 1, keyTile.width)
  }

  /// Overwrites the scores of keys outside the bounds, and of a last panel's missing keys.
  @inline(__always)
  func clip(_ row: Int, _ keyTile: KeyTile, _ scratch: Scratch) {
    let scores = scratch.scores + row * AttentionWorkspace.scorePitch
    let first = max(scratch.variant.firstKeys[row], keyTile.first)
    let last = min(scratch.variant.lastKeys[row], keyTile.first + keyTile.count - 1)
    let head = min(first - keyTile.first, keyTile.width)
    if head > 0 { scores.update(repeating: maskedWeight, count: head) }
    let kept = max(last + 1 - keyTile.first, 0)
    if kept < keyTile.width {
      (scores + kept).update(repeating: maskedWeight, count: keyTile.width - kept)
    }
  }
}
