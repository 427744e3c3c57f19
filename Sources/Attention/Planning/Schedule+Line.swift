// The rule `.line`: all work in a row, cut into equal shares.
extension Schedule {
  /// McNaughton's wrap-around rule (Scheduling with deadlines and loss functions, 1959).
  ///
  /// The work of all tiles, head by head and key by key, forms a line; worker w takes the part from
  /// w/W to (w + 1)/W of it. Like Algorithm 1 it cuts keys into chunks no longer than an even share,
  /// but no worker gets more than its share, whatever the lengths, and there is nothing to sort.
  ///
  /// A share ends at the boundary between two heads where one is near enough (1/128 of a share);
  /// only otherwise are keys cut, which costs partial states.
  ///
  /// *Workspace bound.* Each of the workers − 1 ends of shares makes at most one cut, through one
  /// head of one tile. A (tile, head) with c cuts has c + 1 ≤ 2c pieces. So tiles that have their
  /// rows for themselves leave at most 2·(workers − 1) partial tiles, each of one head. Composition
  /// adds the tiles that share rows: each (tile, head) leaves one more.
  ///
  /// - Parameter chunk: Cut keys into pieces of this many, and nowhere else, so that no piece
  ///   depends on anything but its own tile. Shares then end between heads, wherever nearest.
  func cutLine(chunk: Int?) {
    var total = 0
    for tile in tiles.elements {
      total +=
        tile.heads(of: kvHeads).count * cost(rows: Int(tile.rowCount), kv: tile.length)
    }
    // Cuts add the cost of a tile's rows once more. Shares grow until they hold that too.
    for _ in 0..<6 {
      let assigned = emitLine(total: total, chunk: chunk)
      if chunk != nil || assigned <= total + total / workers / Line.slack { return }
      total = assigned
    }
  }

  /// Fills all queues with shares of `total`; gives the cost that was really assigned.
  private func emitLine(total: Int, chunk: Int?) -> Int {
    items.removeAll()
    workerOffsets.fill(0, count: workers + 1)
    stateCount = 0
    var line = Line(total: total, workers: workers)
    if let chunk {
      emitChunks(of: Int32(chunk), &line)
    } else {
      for (number, tile) in tiles.elements.enumerated() {
        emit(
          tile, Int32(number), keys: tile.kvFirst..<tile.kvEnd, isWhole: tile.isSole,
          mayCut: true, &line)
      }
    }
    while line.worker < workers - 1 { close(&line) }
    workerOffsets.base[workers] = Int32(items.count)
    return line.position
  }

  /// Lays tiles on the line in chunks that end at multiples of `chunk`, wherever a tile's keys begin.
  ///
  /// Tiles that read the same pages, as those of one request, meet a chunk one after the other before
  /// the next one, so that what is made of its keys is made for several of them.
  private func emitChunks(of chunk: Int32, _ line: inout Line) {
    let all = tiles.elements
    var next = 0
    while next < all.count {
      let run = next..<endOfCommonPages(from: next)
      next = run.upperBound
      var (first, end) = (Int32.max, Int32.min)
      for tile in all[run] {
        first = min(first, tile.kvFirst)
        end = max(end, tile.kvEnd, tile.kvFirst + 1)  // An empty tile has a place too.
      }
      first = first / chunk * chunk
      repeat {
        let reached = chunk < end - first ? first + chunk : end
        for number in run {
          let tile = all[number]
          let lower = max(tile.kvFirst, first)
          let keys = lower..<max(min(tile.kvEnd, reached), lower)
          let isEmptyHere = tile.length == 0 && (first..<reached).contains(tile.kvFirst)
          if keys.isEmpty && !isEmptyHere { continue }
          emit(
            tile, Int32(number), keys: keys, isWhole: tile.isSole && keys.count == tile.length,
            mayCut: false, &line)
        }
        first = reached
      } while first < end
    }
  }

  /// The end of the tiles, from `first` on, that read the same pages for the same heads.
  private func endOfCommonPages(from first: Int) -> Int {
    let tile = tiles.base[first]
    var next = first + 1
    while next < tiles.count, tiles.base[next].sharesPages(with: tile),
      tiles.base[next].kvHead == tile.kvHead
    {
      next += 1
    }
    return next
  }

  private func close(_ line: inout Line) {
    line.advance()
    workerOffsets.base[line.worker] = Int32(items.count)
  }

  /// Lays a tile's heads on the line.
  @inline(__always)
  private func emit(
    _ tile: QueryTile, _ number: Int32, keys: Range<Int32>, isWhole: Bool, mayCut: Bool,
    _ line: inout Line
  ) {
    let rows = Int(tile.rowCount)
    let strand = max(cost(rows: rows, kv: keys.count), 1)
    let slack = mayCut ? line.slack : max(line.slack, strand / 2)
    let heads = tile.heads(of: kvHeads)
    var head = heads.lowerBound
    while head < heads.upperBound {
      let room = line.worker == workers - 1 ? Int.max : line.room(for: strand, slack: slack)
      let whole = min(heads.upperBound - head, room / strand)
      if whole > 0 {
        append(number, rows, keys, heads: head..<head + whole, isPartial: !isWhole)
        line.position += whole * strand
        head += whole
        if head == heads.upperBound { return }
      }
      if mayCut, line.position < line.end - slack {
        cut(number, rows, keys, head: head, &line)
        head += 1
      } else {
        close(&line)
      }
    }
  }

  /// Cuts one head's keys at the end of the share, and of every further one that it reaches.
  private func cut(
    _ number: Int32, _ rows: Int, _ keys: Range<Int32>, head: Int, _ line: inout Line
  ) {
    var rest = keys
    let first = items.count
    while true {
      let cost = cost(rows: rows, kv: rest.count)
      if line.worker == workers - 1 || line.position + cost <= line.end + line.slack { break }
      let room = line.end - line.position - self.cost(rows: rows, kv: 0)
      let perKey = self.cost.perKey(rows: rows)
      let wanted = (max(room, 0) + granule * perKey / 2) / (granule * perKey) * granule
      // Cuts fall on multiples of the granule, wherever the keys begin.
      let end = min(
        (Int(rest.lowerBound) + wanted) / granule * granule, Int(rest.upperBound))
      if end == Int(rest.upperBound) { break }
      if end > Int(rest.lowerBound) {
        let piece = rest.lowerBound..<Int32(end)
        append(number, rows, piece, heads: head..<head + 1, isPartial: true)
        line.position += self.cost(rows: rows, kv: piece.count)
        rest = Int32(end)..<rest.upperBound
      }
      close(&line)
    }
    // The whole head after all, where rounding left nothing to cut.
    let isPartial = items.count > first || !tiles.base[Int(number)].isSole
    append(number, rows, rest, heads: head..<head + 1, isPartial: isPartial)
    line.position += cost(rows: rows, kv: rest.count)
  }

  @inline(__always)
  private func append(
    _ number: Int32, _ rows: Int, _ keys: Range<Int32>, heads: Range<Int>, isPartial: Bool
  ) {
    items.append(
      WorkItem(
        tile: number, kvFirst: keys.lowerBound, kvEnd: keys.upperBound,
        firstHead: Int32(heads.lowerBound), headEnd: Int32(heads.upperBound),
        state: isPartial ? Int32(stateCount) : -1))
    if isPartial { stateCount += rows * heads.count }
  }
}

/// How far the line has been dealt out.
private struct Line {
  /// The worker whose share is being filled.
  private(set) var worker = 0
  /// The cost dealt out so far.
  var position = 0
  /// Where the worker's share ends.
  private(set) var end: Int
  /// How far from its end a share may stop or begin.
  let slack: Int
  /// The slack's part of a share is 1 in this.
  static let slack = 128
  private let share: Int
  private let remainder: Int

  init(total: Int, workers: Int) {
    (share, remainder) = total.quotientAndRemainder(dividingBy: workers)
    slack = share / Self.slack
    end = share + min(remainder, 1)
  }

  /// What pieces of `strand` each may fill: up to the piece that ends nearest to the share's end, which
  /// it may pass by the slack.
  func room(for strand: Int, slack: Int) -> Int {
    let left = max(end - position, 0)
    let over = strand - left % strand
    return over <= min(slack, strand / 2) ? left + over : left
  }

  mutating func advance() {
    worker += 1
    end = share * (worker + 1) + min(worker + 1, remainder)
  }
}
