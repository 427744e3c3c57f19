internal import CMicrokernels
internal import Tensors

/// What the bounds of a mask, and the end of the keys, leave of a tile.
enum TileVisibility {
  case nothing, part
  /// Every score of every row.
  case everything
}

// What happens to scores between the two products.
extension Launch {
  /// What the mask beyond the bounds makes of a tile.
  func coverage(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) -> TileCoverage {
    guard let residual else { return .full }
    let places = PlaceRange(
      query: work.span.positions, kv: keyTile.span,
      queryHead: work.head * group...work.head * group + group - 1,
      kvHead: work.head...work.head, request: work.span.requests,
      queryLength: work.span.queryLengths, kvLength: work.span.kvLengths)
    return residual.coverage(over: places, parameters, scratch.variant.scalars)
  }

  /// The rows of a strip, as the kernels cut them: nearly equal, at most `kernels.strip`.
  @inline(__always)
  private func stripHeight(_ rows: Int) -> Int {
    let strips = (rows + kernels.strip - 1) / kernels.strip
    return (rows + strips - 1) / strips
  }

  /// What the bounds leave of a tile to each row and each strip.
  func findVisible(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) -> TileVisibility {
    let tokens = Int(SWA_PANEL_TOKENS)
    let height = stripHeight(work.rows)
    let span = keyTile.span
    if work.span.firstKey <= span.lowerBound, span.upperBound <= work.span.lastKey {
      let strips = (work.rows + height - 1) / height
      scratch.spans.update(
        repeating: swa_span(first: 0, end: UInt32(keyTile.panels)), count: strips)
      if keyTile.count == keyTile.width { return .everything }
      scratch.visible.update(
        repeating: swa_span(first: 0, end: UInt32(keyTile.count)), count: work.rows)
      return .part
    }
    var any = false
    for (strip, firstRow) in stride(from: 0, to: work.rows, by: height).enumerated() {
      var (low, high) = (keyTile.count, 0)
      for row in firstRow..<min(firstRow + height, work.rows) {
        let columns = keyTile.columns(
          from: scratch.places[row].firstKey, through: scratch.places[row].lastKey)
        scratch.visible[row] = swa_span(
          first: UInt32(columns.lowerBound), end: UInt32(columns.upperBound))
        if !columns.isEmpty {
          low = min(low, columns.lowerBound)
          high = max(high, columns.upperBound)
        }
      }
      scratch.spans[strip] =
        low < high
        ? swa_span(first: UInt32(low / tokens), end: UInt32((high + tokens - 1) / tokens))
        : swa_span(first: 0, end: 0)
      any = any || low < high
    }
    return any ? .part : .nothing
  }

  /// What every row of a tile has once: row values and pointers.
  func prepareRows(_ work: HeadItem, _ scratch: Scratch) {
    if program.isEmpty { return }
    for row in 0..<work.rows {
      let here = rowPlace(work, row: row, scratch)
      evaluate(program, row, at: here, scratch.variant, value: 0, pointer: 0)
      if sharesRows { continue }
      evaluate(
        unmasked, row, at: here, scratch.variant, value: program.tokens.outputCount,
        pointer: program.pointerCount)
    }
  }

  private func evaluate(
    _ program: BlockProgram.View, _ row: Int, at place: ScorePlace, _ scratch: VariantScratch,
    value: Int, pointer: Int
  ) {
    let pitch = VariantScratch.rowPitch
    if program.tokens.dependsOnHeadAlone, row >= group {
      // Rows are queries with all heads of their group.
      for i in value..<value + program.tokens.outputCount {
        scratch.rowValues[i * pitch + row] = scratch.rowValues[i * pitch + row - group]
      }
    } else if program.tokens.outputCount > 0 {
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

  /// The variant's logits and mask, then its bounds and the end of the keys, strip by strip.
  func applyVariant(
    _ coverage: TileCoverage, _ visibility: TileVisibility, _ work: HeadItem, _ keyTile: KeyTile,
    _ scratch: Scratch
  ) {
    let isMasked = coverage != .full
    let program = isMasked ? self.program : unmasked
    if program.isEmpty && visibility == .everything { return }
    let variant = scratch.variant
    let pitch = AttentionWorkspace.scorePitch
    var memory = swa_tile_memory()
    if !program.isEmpty {
      memory.registers = variant.registers
      memory.register_pitch = pitch
      memory.register_size = pitch * kernels.strip
      memory.block_pitch = pitch
      memory.column_pitch = pitch
      memory.row_values = UnsafePointer(variant.rowValues)
      memory.row_value_pitch = VariantScratch.rowPitch
      memory.row_pointer_pitch = VariantScratch.rowPitch
      memory.masked = maskedWeight
      computeColumns(program, memory, keyTile, variant)
    }
    let isFirst = isMasked || sharesRows
    let values = (isFirst ? 0 : self.program.tokens.outputCount) * VariantScratch.rowPitch
    let pointers = (isFirst ? 0 : self.program.pointerCount) * VariantScratch.rowPitch
    let height = stripHeight(work.rows)
    for (strip, first) in stride(from: 0, to: work.rows, by: height).enumerated() {
      let span = scratch.spans[strip]
      let columns = Int(span.first) * Int(SWA_PANEL_TOKENS)..<Int(span.end) * Int(SWA_PANEL_TOKENS)
      if columns.isEmpty { continue }
      let rows = min(height, work.rows - first)
      let scores = scratch.scores + first * pitch
      if !program.isEmpty {
        memory.block = scores + columns.lowerBound
        memory.columns = UnsafePointer(variant.columns + columns.lowerBound)
        memory.row_values = UnsafePointer(variant.rowValues + values + first)
        memory.row_pointers = UnsafePointer(variant.pointers + pointers + first)
        memory.row_bits = UnsafePointer(variant.bits + pointers + first)
        memory.first = keyTile.first + columns.lowerBound
        memory.positions = keyTile.positions.map { $0 + columns.lowerBound }
        program.run(&memory, rows: rows, width: columns.count, kernels)
      }
      if visibility == .everything { continue }
      for row in 0..<rows {
        clip(scores + row * pitch, columns, to: scratch.visible[first + row])
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
    memory.first = keyTile.first
    memory.positions = keyTile.positions
    program.runColumns(&memory, width: keyTile.width, kernels)
  }

  /// Overwrites the scores of keys outside the bounds, and of a last panel's missing keys.
  @inline(__always)
  private func clip(
    _ scores: UnsafeMutablePointer<Float>, _ columns: Range<Int>, to visible: swa_span
  ) {
    let first = min(max(Int(visible.first), columns.lowerBound), columns.upperBound)
    let end = max(min(Int(visible.end), columns.upperBound), columns.lowerBound)
    (scores + columns.lowerBound).update(repeating: maskedWeight, count: first - columns.lowerBound)
    (scores + end).update(repeating: maskedWeight, count: columns.upperBound - end)
  }
}
