internal import CMicrokernels
internal import Glibc

// Functors on whole vectors, and attention sinks.
extension Launch {
  private var functorData: VectorFunctor.Inputs {
    VectorFunctor.Inputs(kernels: kernels, parameters: parameters, tables: functors.tables)
  }

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
        stage.apply(
          to: block, count: min(tokens, keyTile.count - first), scratch.variant, functorData
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
  /// fetches what is read next: a low strip's next panel of keys, a high one's values.
  private func turnKeys(
    _ turn: VectorFunctor.Turn, _ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch
  ) {
    if turn.dependsOnHead { placeTurns(work, keyTile, scratch) }
    let panelFloats = VectorFunctor.tokens * headDimension
    for panel in 0..<keyTile.panels {
      let block = scratch.variant.keys + panel * panelFloats
      let (c, s) = (scratch.variant.externals[2 * panel], scratch.variant.externals[2 * panel + 1])
      let next =
        work.rows > kernels.low_strip
        ? scratch.values[panel] : panel + 1 < keyTile.panels ? scratch.panels[panel + 1] : nil
      gathered.turn_keys(
        scratch.panels[panel], headDimension, turn.distance, c.base, s.base, block,
        geometry.hasPanels ? next : nil)
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
      functor.fillExternals(
        nil, count: min(tokens, keyTile.count - first), variant, functorData
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
        stage.apply(to: rows, count: count, scratch.variant, functorData) {
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
    // Queries of one head of the group, then those of the next: what pairs are turned by is the same.
    let heads = work.rows > group ? group : 1
    let queries = work.rows / heads
    let turn = functors.queries.count == 1 ? functors.queries[0].turn : nil
    let isOfAllHeads = turn.map { !$0.dependsOnHead } ?? false
    for first in stride(from: 0, to: queries, by: tokens) {
      let count = min(tokens, queries - first)
      for head in 0..<heads {
        let block = scratch.variant.queries + (first * heads + head * count) * pitch
        for i in 0..<count {
          let row = (first + i) * heads + head
          guard let query = scratch.queryRows[row] else { continue }
          (block + i * pitch).update(from: query, count: headDimension)
          scratch.queryRows[row] = UnsafePointer(block + i * pitch)
        }
        if head > 0 && isOfAllHeads {
          functors.queries[0].change(block, count: count, scratch.variant, functorData)
          continue
        }
        for stage in functors.queries {
          stage.apply(to: block, count: count, scratch.variant, functorData) {
            rowPlace(work, row: (first + $0) * heads + head, scratch)
          }
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
        stage.apply(to: scratch.block, count: 1, scratch, functorData) { _ in place }
      }
      output.update(from: scratch.block, count: valueDimension)
    }
    return total
  }
}
