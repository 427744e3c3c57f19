internal import CMicrokernels
import Glibc
internal import Tensors

// The rows of a query tile: from the queries, to the output or to a partial state, and merged.
extension Launch {
  /// Says where the rows of a tile stand.
  func placeRows(of tile: QueryTile, _ scratch: Scratch) -> RowSpan {
    var (entry, member) = Int(tile.firstMember).quotientAndRemainder(dividingBy: group)
    entry += Int(tile.firstQuery)
    for row in 0..<Int(tile.rowCount) {
      let query = queryRows[entry]
      let request = rowRequests[Int(query)]
      scratch.places[row] = RowPlace(
        query: query, member: Int32(member), position: rowPositions[Int(query)], request: request,
        queryLength: queryLengths[Int(request)], kvLength: kvLengths[Int(request)])
      // The heads of a query see the same keys.
      if member > 0, row > 0 {
        scratch.places[row].firstKey = scratch.places[row - 1].firstKey
        scratch.places[row].lastKey = scratch.places[row - 1].lastKey
      } else {
        boundKeys(of: &scratch.places[row])
      }
      member += 1
      if member == group { (entry, member) = (entry + 1, 0) }
    }
    var span = RowSpan(scratch.places[0])
    for row in 1..<max(Int(tile.rowCount), 1) { span.include(scratch.places[row]) }
    return span
  }

  /// Finds the keys that the mask's bounds leave to a row.
  @inline(__always)
  private func boundKeys(of place: inout RowPlace) {
    place.lastKey = Int(place.kvLength) - 1
    for i in 0..<boundCount {
      let limit = bounds[i].limit(
        query: Int(place.position), kvLength: Int(place.kvLength),
        queryLength: Int(place.queryLength))
      if bounds[i].isUpper {
        place.lastKey = min(place.lastKey, limit)
      } else {
        place.firstKey = max(place.firstKey, limit)
      }
    }
  }

  /// The row of the matrices of a tile's row, and its query head.
  @inline(__always)
  private func place(_ work: HeadItem, row: Int, _ scratch: Scratch) -> (query: Int, head: Int) {
    let place = scratch.places[row]
    return (Int(place.query), work.head * group + Int(place.member))
  }

  /// Packs the tile's queries, scaled, in the order the score kernel reads them.
  func gatherQueries(_ work: HeadItem, _ scratch: Scratch) {
    for row in 0..<work.rows {
      let (query, head) = place(work, row: row, scratch)
      scratch.queryRows[row] = UnsafePointer(queries.row(query) + head * headDimension)
    }
    if functors.queries.count > 0 { transformQueries(work, scratch) }
    // Panels that went through a functor carry their keys' scale, unless it only turned them.
    let keyScale = functors.areOnPanels && functors.turn == nil ? 1 : keyScales[work.head]
    (functors.values.count > 0 ? kernels.f32 : stored).packed.pack_queries(
      scratch.queryRows, work.rows, headDimension, scale * keyScale, scratch.queries)
  }

  /// The identity (0, −∞).
  func resetState(_ work: HeadItem, _ scratch: Scratch) {
    scratch.output.update(repeating: 0, count: work.rows * scratch.outputPitch)
    scratch.maximum.update(repeating: -.infinity, count: work.rows)
    scratch.sum.update(repeating: 0, count: work.rows)
  }

  /// ln of the softmax denominator; −∞ for a row that attends to nothing.
  @inline(__always)
  func logSumExp(_ row: Int, _ scratch: Scratch) -> Float {
    scratch.maximum[row] == -.infinity ? -.infinity : scratch.maximum[row] + log(scratch.sum[row])
  }

  /// A tile that was not cut: straight to the output.
  func writeOutput(_ work: HeadItem, _ scratch: Scratch) {
    for row in 0..<work.rows {
      let (query, head) = place(work, row: row, scratch)
      scratch.outputRows[row] = output.row(query) + head * valueDimension
    }
    normalize(work, scratch)
    if !functors.finishesRows && lse == nil { return }
    for row in 0..<work.rows {
      let (query, head) = place(work, row: row, scratch)
      var total = logSumExp(row, scratch)
      if functors.finishesRows {
        let target = output.row(query) + head * valueDimension
        total = finish(target, total, at: rowPlace(work, row: row, scratch), scratch.variant)
      }
      if let lse { lse.row(query)[head] = total * lseFactor }
    }
  }

  /// A part of its rows' keys: their attention states, for the merge.
  func leavePartialState(_ work: HeadItem, _ scratch: Scratch) {
    let first = Int(work.item.state) + (work.head - Int(work.item.firstHead)) * work.rows
    for row in 0..<work.rows {
      scratch.outputRows[row] = partialOutput + (first + row) * valueDimension
      partialLSE[first + row] = logSumExp(row, scratch)
    }
    normalize(work, scratch)
  }

  /// O / l to `outputRows`, or exact zeros for a row that attends to nothing; without softmax O itself.
  private func normalize(_ work: HeadItem, _ scratch: Scratch) {
    let valueScale = functors.values.count > 0 ? 1 : valueScales[work.head]
    for row in 0..<work.rows {
      scratch.rescale[row] =
        !usesSoftmax
        ? valueScale : scratch.maximum[row] == -.infinity ? 0 : valueScale / scratch.sum[row]
    }
    kernels.scale_rows(
      scratch.output, scratch.outputPitch, work.rows, valueDimension, scratch.rescale,
      scratch.outputRows)
  }

  /// Merges partial states, each row's in the order of their keys.
  func merge(thread: Int) {
    for i in stride(from: thread, to: mergeCount, by: threads) {
      let merge = merges[i]
      let query = Int(merge.query)
      for member in 0..<Int(merge.heads) {
        let head = Int(merge.queryHead) + member
        let target = output.row(query) + head * valueDimension
        var total = mergeRow(merge, member: member, to: target)
        if functors.finishesRows {
          var here = ScorePlace()
          here.request = Int(rowRequests[query])
          here.query = Int(rowPositions[query])
          here.queryLength = Int(queryLengths[here.request])
          here.kvLength = Int(kvLengths[here.request])
          (here.queryHead, here.kvHead) = (head, head / group)
          total = finish(target, total, at: here, scratches[thread].variant)
        }
        if let lse { lse.row(query)[head] = total * lseFactor }
      }
    }
  }

  /// One row's partial states merged, or added where there is no softmax.
  private func mergeRow(
    _ merge: MergeItem, member: Int, to target: UnsafeMutablePointer<Float>
  ) -> Float {
    // A part's states of consecutive heads follow one another.
    let states = partialOutput + member * valueDimension
    if usesSoftmax {
      return kernels.merge(
        states, partialLSE + member, mergeStates + Int(merge.first), Int(merge.count),
        valueDimension, target)
    }
    for c in 0..<valueDimension {
      var sum: Float = 0
      for i in 0..<Int(merge.count) {
        sum += states[Int(mergeStates[Int(merge.first) + i]) * valueDimension + c]
      }
      target[c] = sum
    }
    return -.infinity
  }
}
