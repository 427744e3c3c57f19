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
      member += 1
      if member == group { (entry, member) = (entry + 1, 0) }
    }
    var span = RowSpan(scratch.places[0])
    for row in 1..<max(Int(tile.rowCount), 1) { span.include(scratch.places[row]) }
    return span
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
    kernels.pack_queries(scratch.queryRows, work.rows, headDimension, scale, scratch.queries)
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
      normalize(row, scratch, to: output.row(query) + head * valueDimension)
      if let lse { lse.row(query)[head] = logSumExp(row, scratch) * lseFactor }
    }
  }

  /// A part of its rows' keys: their attention states, for the merge.
  func leavePartialState(_ work: HeadItem, _ scratch: Scratch) {
    let first = Int(work.item.state) + (work.head - Int(work.item.firstHead)) * work.rows
    for row in 0..<work.rows {
      normalize(row, scratch, to: partialOutput + (first + row) * valueDimension)
      partialLSE[first + row] = logSumExp(row, scratch)
    }
  }

  /// O / l, or exact zeros for a row that attends to nothing.
  @inline(__always)
  func normalize(_ row: Int, _ scratch: Scratch, to target: UnsafeMutablePointer<Float>) {
    if scratch.maximum[row] == -.infinity {
      target.update(repeating: 0, count: valueDimension)
    } else {
      kernels.scale(
        scratch.output + row * scratch.outputPitch, valueDimension, 1 / scratch.sum[row], target)
    }
  }

  /// Merges partial states, each row's in the order of their keys.
  func merge(thread: Int) {
    for i in stride(from: thread, to: mergeCount, by: threads) {
      let merge = merges[i]
      let query = Int(merge.query)
      for member in 0..<Int(merge.heads) {
        let head = Int(merge.queryHead) + member
        // A part's states of consecutive heads follow one another.
        let total = kernels.merge(
          partialOutput + member * valueDimension, partialLSE + member,
          mergeStates + Int(merge.first), Int(merge.count), valueDimension,
          output.row(query) + head * valueDimension)
        if let lse { lse.row(query)[head] = total * lseFactor }
      }
    }
  }
}
