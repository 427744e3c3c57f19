internal import CMicrokernels

// The two products of attention: keys and values found in their pages and multiplied.
extension Launch {
  private static let panelTokens = Int(SWA_PANEL_TOKENS)

  /// From this many rows on, widening what is stored in 16 bits once for all of them pays.
  static let manyRows = 16

  /// Finds the tile's keys and values as panels, and notes what to fetch while they are read.
  ///
  /// - Parameter next: The tile and head after this one, where there is one.
  func gatherPanels(
    _ work: HeadItem, _ keyTile: KeyTile, next: (head: Int, keys: KeyTile)?, _ scratch: Scratch
  ) {
    if geometry.hasPanels {
      listPanels(of: work, keyTile, head: work.head, keys: scratch.panels, values: scratch.values)
      if let next {
        listPanels(of: work, next.keys, head: next.head, keys: scratch.nextPanels, values: nil)
      }
      clearLastPanel(keyTile, scratch)
      if functors.areOnPanels {
        transformKeys(work, keyTile, scratch)
      } else if work.rows >= Self.manyRows {
        widenPanels(keyTile, scratch)
      }
    } else if readsRows(work.rows) {
      fetchRows(keyTile, work.head, next: next, scratch)
    } else {
      listRows(of: work, keyTile, head: work.head, scratch.keyRows, scratch.valueRows)
      if let next {
        listRows(of: work, next.keys, head: next.head, scratch.nextKeyRows, scratch.nextValueRows)
      }
      packRows(keyTile, scratch)
      if functors.areOnPanels { transformKeys(work, keyTile, scratch) }
    }
  }

  /// Pages that hold panels: a page is a whole number of them, and tiles begin with one.
  private func listPanels(
    of work: HeadItem, _ keyTile: KeyTile, head: Int,
    keys keyPanels: UnsafeMutablePointer<UnsafeRawPointer?>,
    values valuePanels: UnsafeMutablePointer<UnsafeRawPointer?>?
  ) {
    list(
      keyTile.panels, from: keyTile.first / Self.panelTokens,
      perPage: geometry.pageSize / Self.panelTokens, of: work, head: head, keyPanels, valuePanels)
  }

  /// Pages that hold tokens' rows.
  private func listRows(
    of work: HeadItem, _ keyTile: KeyTile, head: Int,
    _ keyRows: UnsafeMutablePointer<UnsafeRawPointer?>,
    _ valueRows: UnsafeMutablePointer<UnsafeRawPointer?>
  ) {
    list(
      keyTile.count, from: keyTile.first, perPage: geometry.pageSize, of: work, head: head, keyRows,
      valueRows)
  }

  /// The addresses of `count` panels or rows from the `first` one of the tile's pages on.
  @inline(__always)
  private func list(
    _ count: Int, from first: Int, perPage: Int, of work: HeadItem, head: Int,
    _ keyUnits: UnsafeMutablePointer<UnsafeRawPointer?>,
    _ valueUnits: UnsafeMutablePointer<UnsafeRawPointer?>?
  ) {
    let pages = pageIndices + Int(work.tile.pages)
    var (index, place) = first.quotientAndRemainder(dividingBy: perPage)
    for i in 0..<count {
      let page = Int(pages[index])
      keyUnits[i] = keys + geometry.key.offset(page: page, head: head, token: place)
      if let valueUnits {
        valueUnits[i] = values + geometry.value.offset(page: page, head: head, token: place)
      }
      place += 1
      if place == perPage { (index, place) = (index + 1, 0) }
    }
  }

  /// Zeros for the tokens that a last panel of values lacks: their weights are 0, but what lies
  /// there may be no number.
  private func clearLastPanel(_ keyTile: KeyTile, _ scratch: Scratch) {
    let missing = keyTile.width - keyTile.count
    guard missing > 0 else { return }
    let last = keyTile.panels - 1
    stored.clear_values(
      scratch.values[last], Self.panelTokens - missing, valueDimension, scratch.clearedValues)
    scratch.values[last] = UnsafeRawPointer(scratch.clearedValues)
  }

  private func widenPanels(_ keyTile: KeyTile, _ scratch: Scratch) {
    guard let widen = stored.widen_keys else { return }
    for panel in 0..<keyTile.panels {
      widen(scratch.panels[panel], headDimension, scratch.packedKeys(panel))
      scratch.panels[panel] = UnsafeRawPointer(scratch.packedKeys(panel))
    }
    widenValues(keyTile, scratch)
  }

  /// Values as the products read them that are not the stored panels' own.
  func widenValues(_ keyTile: KeyTile, _ scratch: Scratch) {
    guard let widen = stored.widen_values else { return }
    for panel in 0..<keyTile.panels {
      widen(scratch.values[panel], valueDimension, scratch.packedValues(panel))
      scratch.values[panel] = UnsafeRawPointer(scratch.packedValues(panel))
    }
  }

  /// Turns rows into panels.
  private func packRows(_ keyTile: KeyTile, _ scratch: Scratch) {
    let tokens = Self.panelTokens
    for panel in 0..<keyTile.panels {
      let (k, v) = (scratch.packedKeys(panel), scratch.packedValues(panel))
      let (first, count) = (panel * tokens, min(tokens, keyTile.count - panel * tokens))
      stored.pack_keys(
        scratch.keyRows + first, count, headDimension, k, scratch.nextKeyRows + first)
      stored.pack_values(
        scratch.valueRows + first, count, valueDimension, v,
        geometry.sharesValues ? nil : scratch.nextValueRows + first)
      scratch.panels[panel] = UnsafeRawPointer(k)
      scratch.values[panel] = UnsafeRawPointer(v)
    }
  }

  /// Panels as stored, or as packed and widened; what a functor made is as if packed, and floats
  /// where values went through one.
  func products(_ work: HeadItem) -> swa_product_kernels {
    if functors.values.count > 0 { return kernels.f32.own }
    if functors.keys.count > 0 { return stored.packed }
    return geometry.hasPanels && (work.rows < Self.manyRows || stored.widen_keys == nil)
      ? stored.own : stored.packed
  }

  /// S = Q·Kᵀ.
  ///
  /// - Parameter fetchesAhead: Whether the values are fetched meanwhile.
  func score(_ work: HeadItem, _ keyTile: KeyTile, fetchesAhead: Bool, _ scratch: Scratch) {
    if readsRows(work.rows) { return scoreRows(work, keyTile, scratch) }
    products(work).scores(
      scratch.queries, work.rows, headDimension, scratch.panels, scratch.spans, scratch.scores,
      geometry.hasPanels && fetchesAhead ? scratch.values : nil)
  }

  /// Scores become weights, and O = rescale·O + P·V: by softmax relative to the running maximum, or
  /// as they are.
  ///
  /// - Parameters:
  ///   - keyTile: The keys that the rows read.
  ///   - gathered: The keys that there are panels of, those and maybe more.
  ///   - fetchesAhead: Whether the next keys are fetched meanwhile.
  func weighValues(
    _ work: HeadItem, _ keyTile: KeyTile, of gathered: KeyTile, fetchesAhead: Bool,
    _ scratch: Scratch
  ) {
    if readsRows(work.rows) { return weighRows(work, keyTile, scratch) }
    let last = keyTile.panels - 1
    let panel = scratch.values[last]
    let endsEarlier = keyTile.count < min(gathered.count, keyTile.width)
    if endsEarlier { clearForeignValues(work, keyTile, scratch) }
    let products = products(work)
    let next = geometry.hasPanels && fetchesAhead ? scratch.nextPanels : nil
    if usesSoftmax {
      products.softmax_values(
        scratch.scores, work.rows, scratch.values, scratch.spans, valueDimension, scratch.maximum,
        scratch.sum, scratch.output, scratch.outputPitch, next)
    } else {
      products.weights(scratch.scores, work.rows, scratch.spans, scratch.rescale)
      products.values(
        scratch.scores, work.rows, scratch.values, scratch.spans, valueDimension, scratch.rescale,
        scratch.output, scratch.outputPitch, next)
    }
    if endsEarlier { scratch.values[last] = panel }
  }

  /// Zeros for the values in a last panel that other rows read and these do not.
  private func clearForeignValues(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    let last = keyTile.panels - 1
    valuesForm(work).clear_values(
      scratch.values[last], keyTile.count - last * Self.panelTokens, valueDimension,
      scratch.ownValues)
    scratch.values[last] = UnsafeRawPointer(scratch.ownValues)
  }

  /// The kernels for values in the form that the products read.
  private func valuesForm(_ work: HeadItem) -> swa_kv_kernels {
    if functors.values.count > 0 { return kernels.f32 }
    let isStored = geometry.hasPanels && stored.widen_values == nil
    return isStored ? stored : stored.packed.pairs ? kernels.bf16 : kernels.f32
  }
}
