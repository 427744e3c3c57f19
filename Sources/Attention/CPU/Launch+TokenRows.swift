internal import CMicrokernels

// Few rows against keys and values that lie token after token: multiplied where they are.
extension Launch {
  /// Whether a tile of `rows` rows does without panels.
  @inline(__always)
  func readsRows(_ rows: Int) -> Bool {
    !geometry.hasPanels && !functors.areOnPanels && rows <= Int(SWA_LOW_ROWS)
      && stored.score_rows != nil
  }

  /// Finds the tokens of a tile and of the next one, for all heads: the addresses of their first heads.
  func listTokens(_ work: HeadItem, _ keys: KeyTile, next: KeyTile?, _ scratch: Scratch) {
    list(work, keys, scratch.keyRows, scratch.valueRows)
    if let next { list(work, next, scratch.nextKeyRows, scratch.nextValueRows) }
  }

  private func list(
    _ work: HeadItem, _ keyTile: KeyTile, _ keyRows: UnsafeMutablePointer<UnsafeRawPointer?>,
    _ valueRows: UnsafeMutablePointer<UnsafeRawPointer?>
  ) {
    let pages = pageIndices + Int(work.tile.pages)
    var (page, place) = keyTile.first.quotientAndRemainder(dividingBy: geometry.pageSize)
    var token = 0
    while token < keyTile.count {
      let run = min(geometry.pageSize - place, keyTile.count - token)
      var key = keys + geometry.key.offset(page: Int(pages[page]), head: 0, token: place)
      var value = values + geometry.value.offset(page: Int(pages[page]), head: 0, token: place)
      for i in token..<token + run {
        (keyRows[i], valueRows[i]) = (key, value)
        (key, value) = (key + geometry.key.token, value + geometry.value.token)
      }
      token += run
      (page, place) = (page + 1, 0)
    }
  }

  /// Notes what the products of a head are to fetch: the rows of the head and tile after them.
  func fetchRows(
    _ keyTile: KeyTile, _ head: Int, next: (head: Int, keys: KeyTile)?, _ scratch: Scratch
  ) {
    guard let next else {
      scratch.fetch.pointee = swa_fetch()
      return
    }
    let isSameTile = next.keys.first == keyTile.first
    var fetch = swa_fetch()
    fetch.rows.0 = UnsafePointer(isSameTile ? scratch.keyRows : scratch.nextKeyRows)
    fetch.rows.1 = UnsafePointer(isSameTile ? scratch.valueRows : scratch.nextValueRows)
    fetch.shift = (next.head * geometry.key.head, next.head * geometry.value.head)
    fetch.bytes = (headDimension * elementBytes, valueDimension * elementBytes)
    fetch.end = next.keys.count
    scratch.fetch.pointee = fetch
  }

  /// S = Q·Kᵀ.
  func scoreRows(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    stored.score_rows(
      scratch.queries, work.rows, headDimension, scratch.keyRows, work.head * geometry.key.head,
      keyTile.count, scratch.spans[0], scratch.scores, scratch.fetch)
  }

  /// Scores become weights, and O = rescale·O + P·V.
  func weighRows(_ work: HeadItem, _ keyTile: KeyTile, _ scratch: Scratch) {
    if usesSoftmax {
      stored.packed.softmax(
        scratch.scores, work.rows, scratch.spans[0], scratch.maximum, scratch.sum, scratch.rescale)
    } else {
      stored.packed.weights(scratch.scores, work.rows, scratch.spans, scratch.rescale)
    }
    stored.value_rows(
      scratch.scores, work.rows, scratch.valueRows, work.head * geometry.value.head, keyTile.count,
      scratch.spans[0], valueDimension, scratch.rescale, scratch.output, scratch.outputPitch,
      scratch.fetch)
  }
}
