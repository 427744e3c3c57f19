internal import CMicrokernels
internal import Glibc

// Functors on whole vectors, and attention sinks.
extension Launch {
  /// The place of a row of a query tile.
  @inline(__always)
  func rowPlace(_ work: HeadItem, row: Int, _ scratch: Scratch) -> ScorePlace {
    let place = scratch.places[row]
    var here = ScorePlace()
    here.query = Int(place.position)
    here.queryHead = work.head * group + Int(place.member)
    here.kvHead = work.head
    here.request = Int(place.request)
    here.queryLength = Int(place.queryLength)
    here.kvLength = Int(place.kvLength)
    return here
  }

  /// The place of a key, for every row that reads it: the rows of a tile that is shared by several
  /// requests agree on what functors of keys and values read.
  @inline(__always)
  private func keyPlace(_ work: HeadItem, _ kv: Int) -> ScorePlace {
    var here = ScorePlace()
    here.kv = kv
    here.kvHead = work.head
    here.request = work.span.requests.lowerBound
    here.queryLength = work.span.queryLengths.lowerBound
    here.kvLength = work.span.kvLengths.lowerBound
    return here
  }

  /// The kernels for panels as they have been gathered: as stored, or packed from rows.
  private var gathered: swa_kv_kernels {
    geometry.hasPanels ? stored : stored.packed.pairs ? kernels.bf16 : kernels.f32
  }

  /// The key functor: other panels take the place of the stored ones, in the form of `products`.
  func transformKeys(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    if let turn = functors.turn { return turnKeys(turn, work, keyTile, scratch) }
    let tokens = VectorFunctor.tokens
    for panel in 0..<keyTile.panels {
      let block = scratch.variant.keys + panel * tokens * headDimension
      gathered.unpack_keys(scratch.panels[panel], headDimension, block)
      if keyScales[work.head] != 1 {
        kernels.scale(block, tokens * headDimension, keyScales[work.head], block)
      }
      let first = panel * tokens
      for stage in functors.keys {
        apply(
          stage, to: block, count: min(tokens, keyTile.count - first), scratch.variant
        ) { keyPlace(work, keyTile.position(first + $0)) }
      }
      if products(work).pairs {
        // The pairs are written over the floats they are made of, which lie ahead of them.
        kernels.pair_keys(block, headDimension, block)
      }
      scratch.panels[panel] = UnsafeRawPointer(block)
    }
  }

  /// Keys turned in pairs, in one pass from the panels as gathered to those of `products`; the pass
  /// fetches the tile's values.
  private func turnKeys(
    _ turn: VectorFunctor.Turn, _ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch
  ) {
    if turn.dependsOnHead { placeTurns(work, keyTile, scratch) }
    let panelFloats = VectorFunctor.tokens * headDimension
    for panel in 0..<keyTile.panels {
      let block = scratch.variant.keys + panel * panelFloats
      let (c, s) = (scratch.variant.externals[2 * panel], scratch.variant.externals[2 * panel + 1])
      gathered.turn_keys(
        scratch.panels[panel], headDimension, turn.distance, c.base, s.base, block,
        geometry.hasPanels ? scratch.values[panel] : nil)
      scratch.panels[panel] = UnsafeRawPointer(block)
    }
  }

  /// Finds by how much each panel of a tile is turned: two external blocks a panel.
  func placeTurns(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    let tokens = VectorFunctor.tokens
    let functor = functors.keys[0]
    for panel in 0..<keyTile.panels {
      let first = panel * tokens
      var variant = scratch.variant
      variant.externals += panel * functor.externalCount
      variant.externalBlocks += panel * functor.externalCount * tokens * functor.pitch
      fillExternals(
        functor, nil, count: min(tokens, keyTile.count - first), variant
      ) { keyPlace(work, keyTile.position(first + $0)) }
    }
  }

  /// The value functor: panels of floats take the place of the stored ones.
  ///
  /// Without one, values are widened where the products ask for it.
  func transformValues(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    if functors.values.count == 0 {
      if geometry.hasPanels { widenValues(keyTile, scratch) }
      return
    }
    let tokens = VectorFunctor.tokens
    let pitch = VectorFunctor.pitch(valueDimension)
    let rows = scratch.variant.block
    for t in 0..<tokens { scratch.valueRows[t] = UnsafeRawPointer(rows + t * pitch) }
    for panel in 0..<keyTile.panels {
      let first = panel * tokens
      let count = min(tokens, keyTile.count - first)
      gathered.unpack_values(scratch.values[panel], valueDimension, rows)
      if valueScales[work.head] != 1 {
        kernels.scale(rows, tokens * pitch, valueScales[work.head], rows)
      }
      for stage in functors.values {
        apply(stage, to: rows, count: count, scratch.variant) {
          keyPlace(work, keyTile.position(first + $0))
        }
      }
      let block = scratch.variant.values + panel * tokens * pitch
      kernels.f32.pack_values(scratch.valueRows, count, valueDimension, block, nil)
      scratch.values[panel] = UnsafeRawPointer(block)
    }
  }

  /// The query functor: copies of the queries take the place of the given ones.
  func transformQueries(_ work: HeadItem, _ scratch: Scratch) {
    let pitch = VectorFunctor.pitch(headDimension)
    let tokens = VectorFunctor.tokens
    for first in stride(from: 0, to: work.rows, by: tokens) {
      let count = min(tokens, work.rows - first)
      let block = scratch.variant.queries + first * pitch
      for row in 0..<count {
        guard let query = scratch.queryRows[first + row] else { continue }
        (block + row * pitch).update(from: query, count: headDimension)
        scratch.queryRows[first + row] = UnsafePointer(block + row * pitch)
      }
      for stage in functors.queries {
        apply(stage, to: block, count: count, scratch.variant) {
          rowPlace(work, row: first + $0, scratch)
        }
      }
    }
  }

  /// Sinks, then the output functor, on a row that is whole; returns its log-sum-exp.
  func finish(
    _ output: UnsafeMutablePointer<Float>, _ logSumExp: Float, at place: ScorePlace,
    _ scratch: VariantScratch
  ) -> Float {
    var total = logSumExp
    if functors.sinks.outputCount > 0 {
      functors.sinks.run(at: place, parameters, scratch.scalars)
      for i in 0..<functors.sinks.outputCount {
        let sink = Float(scratch.scalars[functors.sinks.outputs[i]])
        if sink == -.infinity { continue }
        let top = max(total, sink)
        total = top + log(exp(total - top) + exp(sink - top))
      }
      if total > logSumExp {
        kernels.scale(output, valueDimension, exp(logSumExp - total), output)
      }
    }
    if functors.outputs.count > 0 {
      scratch.block.update(from: output, count: valueDimension)
      for stage in functors.outputs {
        apply(stage, to: scratch.block, count: 1, scratch) { _ in place }
      }
      output.update(from: scratch.block, count: valueDimension)
    }
    return total
  }

  /// Applies a functor to the vectors of `count` tokens.
  ///
  /// - Parameters:
  ///   - block: A panel, or rows `pitch` apart.
  ///   - place: Where a token stands.
  private func apply(
    _ functor: VectorFunctor.View, to block: UnsafeMutablePointer<Float>, count: Int,
    _ scratch: VariantScratch, place: (_ token: Int) -> ScorePlace
  ) {
    let tokens = VectorFunctor.tokens
    fillExternals(functor, block, count: count, scratch, place: place)
    if let turn = functor.turn {
      kernels.f32.turn_keys(
        block, functor.dimension, turn.distance, scratch.externals[0].base,
        scratch.externals[1].base, block, nil)
      return
    }
    var memory = swa_tile_memory()
    memory.block = block
    memory.registers = scratch.registers
    memory.externals = UnsafePointer(scratch.externals)
    if functor.isPanel {
      memory.block_pitch = tokens
      memory.register_pitch = tokens
      memory.register_size = tokens * functor.pitch
      memory.columns = UnsafePointer(scratch.tokenValues)
      memory.column_pitch = tokens
      memory.row_values = functor.dimensionValues
      memory.row_value_pitch = functor.pitch
      kernels.run_tile(functor.steps, functor.count, &memory, functor.dimension, tokens)
    } else {
      memory.block_pitch = functor.pitch
      memory.register_pitch = functor.pitch
      memory.register_size = tokens * functor.pitch
      memory.columns = functor.dimensionValues
      memory.column_pitch = functor.pitch
      memory.row_values = UnsafePointer(scratch.tokenValues)
      memory.row_value_pitch = tokens
      kernels.run_tile(functor.steps, functor.count, &memory, count, functor.pitch)
    }
  }

  /// What a functor reads beside its vectors: values of the tokens and external blocks.
  ///
  /// - Parameter block: The vectors, where partners are among the blocks.
  private func fillExternals(
    _ functor: VectorFunctor.View, _ block: UnsafeMutablePointer<Float>?, count: Int,
    _ scratch: VariantScratch, place: (_ token: Int) -> ScorePlace
  ) {
    evaluateTokens(functor, count, scratch, place)
    for i in 0..<functor.externalCount {
      fill(functor, external: i, block, count, scratch, place)
    }
  }

  /// What the tokens have once; missing tokens of a panel go on counting from the last one.
  private func evaluateTokens(
    _ functor: VectorFunctor.View, _ count: Int, _ scratch: VariantScratch,
    _ place: (_ token: Int) -> ScorePlace
  ) {
    let tokens = VectorFunctor.tokens
    if functor.tokens.outputCount == 0 { return }
    let first = place(0).kv
    if functor.isCounting, place(count - 1).kv - first == count - 1 {
      for t in 0..<tokens {
        scratch.tokenNumbers[t] = Double(first + t)
        scratch.tokenValues[t] = Float(first + t)
      }
      return
    }
    for t in 0..<count {
      var here = place(t)
      here.dimensionCount = functor.dimension
      functor.tokens.run(at: here, parameters, scratch.scalars)
      for i in 0..<functor.tokens.outputCount {
        let value = scratch.scalars[functor.tokens.outputs[i]]
        scratch.tokenNumbers[i * tokens + t] = value
        scratch.tokenValues[i * tokens + t] = Float(value)
      }
    }
    for i in 0..<functor.tokens.outputCount {
      for t in count..<max(count, tokens) {
        scratch.tokenNumbers[i * tokens + t] = scratch.tokenNumbers[i * tokens + t - 1] + 1
        scratch.tokenValues[i * tokens + t] = scratch.tokenValues[i * tokens + t - 1]
      }
    }
  }

  private func fill(
    _ functor: VectorFunctor.View, external i: Int, _ block: UnsafeMutablePointer<Float>?,
    _ count: Int, _ scratch: VariantScratch, _ place: (_ token: Int) -> ScorePlace
  ) {
    let tokens = VectorFunctor.tokens
    let target = scratch.externalBlocks + i * tokens * functor.pitch
    let pitch = functor.isPanel ? tokens : functor.pitch
    scratch.externals[i] = swa_tile_external(base: target, pitch: pitch)
    // The element of token t and dimension d lies at t·across + d·along.
    let (across, along) = functor.isPanel ? (1, tokens) : (functor.pitch, 1)
    switch functor.externals[i] {
    case .partner(let partner):
      guard let block else { return }
      // A panel is one run of rows; each row of vectors is a run of elements.
      let width = functor.isPanel ? tokens : 1
      for t in 0..<(functor.isPanel ? 1 : count) {
        exchange(
          partner, block + t * functor.pitch, functor.dimension, width, target + t * functor.pitch)
      }
    case .table(let number, let index):
      let table = functors.tables[number]
      let numbers = scratch.tokenNumbers + index * tokens
      if functor.isPanel, let first = consecutive(numbers, below: table.capacity) {
        let panel = table.base + first / tokens * tokens * functor.dimension
        if first % tokens == 0 {
          scratch.externals[i].base = panel
        } else {
          kernels.shift_panel(panel, functor.dimension, first % tokens, target)
        }
        return
      }
      for t in 0..<(functor.isPanel ? tokens : count) {
        let number = Int(exactly: numbers[t]) ?? -1
        if number >= 0 && number < table.capacity {
          let source =
            table.base + number / tokens * tokens * functor.dimension + number % tokens
          for d in 0..<functor.dimension { target[t * across + d * along] = source[d * tokens] }
        } else {
          var here = ScorePlace()
          here.index = number
          here.dimensionCount = functor.dimension
          for d in 0..<functor.dimension {
            here.dimension = d
            table.function.run(at: here, parameters, scratch.scalars)
            target[t * across + d * along] = Float(
              scratch.scalars[table.function.outputs[0]])
          }
        }
      }
    case .computed(let program):
      for t in 0..<(functor.isPanel ? tokens : count) {
        var here = place(min(t, count - 1))
        here.dimensionCount = functor.dimension
        for d in 0..<functor.dimension {
          here.dimension = d
          program.run(at: here, parameters, scratch.scalars)
          target[t * across + d * along] = Float(scratch.scalars[program.outputs[0]])
        }
      }
    }
  }

  /// The partners of `count` elements of `width` floats each.
  private func exchange(
    _ partner: Expression.Partner, _ x: UnsafePointer<Float>, _ count: Int, _ width: Int,
    _ y: UnsafeMutablePointer<Float>
  ) {
    switch partner {
    case .own: y.update(from: x, count: count * width)
    case .neighbour: kernels.swap_neighbours(x, count, width, y)
    case .opposite(let part):
      let half = min(max(part ?? count, 0), count) / 2 * width
      y.update(from: x + half, count: half)
      (y + half).update(from: x, count: half)
      (y + 2 * half).update(from: x + 2 * half, count: count * width - 2 * half)
    }
  }

  /// The first of sixteen consecutive whole numbers within a table.
  private func consecutive(_ numbers: UnsafePointer<Double>, below capacity: Int) -> Int? {
    for t in 1..<VectorFunctor.tokens where numbers[t] != numbers[0] + Double(t) { return nil }
    guard let first = Int(exactly: numbers[0]), first >= 0,
      first + VectorFunctor.tokens <= capacity
    else { return nil }
    return first
  }
}
