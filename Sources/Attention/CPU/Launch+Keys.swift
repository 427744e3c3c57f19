internal import CMicrokernels

// The two products of attention: keys and values found in their pages and multiplied.
extension Launch {
  /// Finds the tile's keys and values in their pages.
  func gatherPages(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    let pages = pageIndices + Int(work.tile.pages)
    let pageSize = geometry.pageSize
    var token = 0
    while token < keyTile.count {
      let (index, place) = (keyTile.first + token).quotientAndRemainder(dividingBy: pageSize)
      let page = Int(pages[index])
      let end = min(token + pageSize - place, keyTile.count)
      let keyHead = keys + geometry.keyOffset(page: page, head: work.head)
      let valueHead = values + geometry.valueOffset(page: page, head: work.head)
      if geometry.hasPanels {
        // Tiles and pages both begin at multiples of a panel.
        let tokens = Int(SWA_PANEL_TOKENS)
        for t in stride(from: token, to: end, by: tokens) {
          let panel = (place + t - token) / tokens
          scratch.panels[t / tokens] = keyHead + panel * geometry.panelBytes
        }
      } else {
        for t in token..<end {
          scratch.keyRows[t] = keyHead + (place + t - token) * geometry.keyRowBytes
        }
      }
      for t in token..<end {
        scratch.valueRows[t] = valueHead + (place + t - token) * geometry.valueRowBytes
      }
      token = end
    }
    if !geometry.hasPanels { packKeys(keyTile, scratch) }
    if functors.keys.count > 0 { transformKeys(work, keyTile, scratch) }
  }

  /// Notes what to fetch while this tile is worked on.
  ///
  /// Its values while its keys are read, the keys of the tile after it (or of the next head) while
  /// its values are; with many rows, both while its keys are read. Only panels are fetched ahead; elsewhere the lists name memory that is in the
  /// cache anyway.
  func lookAhead(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    let tokens = Int(SWA_PANEL_TOKENS)
    let blocks = AttentionWorkspace.tileKeys / tokens
    let idle = UnsafeRawPointer(scratch.queries)
    scratch.valueBlocks.update(repeating: idle, count: blocks)
    scratch.keyBlocks.update(repeating: idle, count: blocks)
    guard geometry.hasPanels else { return }
    for i in 0..<keyTile.panels { scratch.valueBlocks[i] = scratch.valueRows[i * tokens] }

    var (first, head) = (keyTile.first + keyTile.count, work.head)
    if first >= Int(work.item.kvEnd) { (first, head) = (Int(work.item.kvFirst), work.head + 1) }
    guard head < Int(work.item.headEnd) else { return }
    let pages = pageIndices + Int(work.tile.pages)
    let end = min(first + AttentionWorkspace.tileKeys, Int(work.item.kvEnd))
    for (i, token) in stride(from: first, to: end, by: tokens).enumerated() {
      let (index, place) = token.quotientAndRemainder(dividingBy: geometry.pageSize)
      scratch.keyBlocks[i] =
        keys + geometry.keyOffset(page: Int(pages[index]), head: head)
        + place / tokens * geometry.panelBytes
    }
  }

  /// Transposes keys that lie token after token into panels of floats.
  func packKeys(_ keyTile: KeyTile, _ scratch: Scratch) {
    let tokens = Int(SWA_PANEL_TOKENS)
    for panel in 0..<keyTile.panels {
      let packed = scratch.packedKeys + panel * tokens * (headDimension + headDimension % 2)
      stored.pack_keys(
        scratch.keyRows + panel * tokens, min(tokens, keyTile.count - panel * tokens),
        headDimension, packed)
      scratch.panels[panel] = UnsafeRawPointer(packed)
    }
  }

  /// S = Q·Kᵀ, panel by panel.
  func score(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    let kernel:
      @convention(c) (
        UnsafePointer<Float>?, Int, Int, UnsafeRawPointer?, UnsafeMutablePointer<Float>?, Int,
        UnsafePointer<UnsafeRawPointer?>?, UnsafePointer<UnsafeRawPointer?>?, Int
      ) -> Void =
        geometry.hasPanels && functors.keys.count == 0 ? stored.scores : kernels.f32.scores
    // Each panel fetches its share of a group of blocks of values.
    let group = Int(SWA_AHEAD)
    let share = (Int(SWA_PANEL_TOKENS) * geometry.valueRowBytes / group + 63) / 64 * 64
    let many = work.rows >= Self.packedRows
    for panel in 0..<keyTile.panels {
      let keyBlocks = scratch.keyBlocks + panel / group * group
      kernel(
        scratch.queries, work.rows, headDimension, scratch.panels[panel],
        scratch.scores + panel * Int(SWA_PANEL_TOKENS), AttentionWorkspace.scorePitch,
        scratch.valueBlocks + panel / group * group, many ? keyBlocks : nil,
        panel % group * share)
    }
  }

  /// O = rescale·O + P·V.
  ///
  /// Values are converted once where many rows share them.
  func weighValues(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    if functors.values.count > 0 { transformValues(work, keyTile, scratch) }
    let stored = functors.values.count > 0 ? kernels.f32 : stored
    if work.rows < Self.packedRows {
      stored.values(
        scratch.scores, AttentionWorkspace.scorePitch, work.rows, scratch.valueRows,
        keyTile.count, valueDimension, scratch.rescale, scratch.output, scratch.outputPitch,
        scratch.keyBlocks)
    } else {
      stored.pack_values(
        scratch.valueRows, keyTile.count, valueDimension, scratch.packedValues)
      kernels.values_packed(
        scratch.scores, AttentionWorkspace.scorePitch, work.rows, scratch.packedValues,
        keyTile.count, valueDimension, scratch.rescale, scratch.output, scratch.outputPitch)
    }
  }

  /// From this many rows on, converting values for them pays.
  static let packedRows = 16
}
