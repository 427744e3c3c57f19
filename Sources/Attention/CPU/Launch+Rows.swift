internal import CMicrokernels
import Glibc
internal import Tensors

// The rows of a query tile: from the queries, to the output or to a partial state, and merged.
extension Launch {
  /// The query of a packed row and its head.
  @inline(__always)
  func place(_ work: HeadItem, row: Int) -> (query: Int, queryHead: Int) {
    let packed = Int(work.tile.firstRow) + row
    let (query, member) = packed.quotientAndRemainder(dividingBy: group)
    return (query, work.head * group + member)
  }

  /// Packs the tile's queries, scaled, in the order the score kernel reads them.
  func gatherQueries(_ work: HeadItem, _ scratch: Scratch) {
    let first = queryOffsets[Int(work.tile.request)]
    for row in 0..<work.rows {
      let (query, head) = place(work, row: row)
      scratch.queryRows[row] = UnsafePointer(queries.row(first + query) + head * headDimension)
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
    let first = queryOffsets[Int(work.tile.request)]
    for row in 0..<work.rows {
      let (query, head) = place(work, row: row)
      normalize(row, scratch, to: output.row(first + query) + head * valueDimension)
      if let lse { lse.row(first + query)[head] = logSumExp(row, scratch) * lseFactor }
    }
  }

  /// A chunk of a tile that was cut: its attention state, for the merge.
  func leavePartialState(_ work: HeadItem, _ scratch: Scratch) {
    let base = Int(work.item.partialRow) * kvHeads + work.head * work.rows
    for row in 0..<work.rows {
      normalize(row, scratch, to: partialOutput + (base + row) * valueDimension)
      partialLSE[base + row] = logSumExp(row, scratch)
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

  /// Merges the partial states of tiles that were cut, in the order of their keys.
  func merge(thread: Int) {
    for i in stride(from: thread, to: mergeCount * kvHeads, by: threads) {
      let merge = merges[i / kvHeads]
      let head = i % kvHeads
      let tile = tiles[Int(merge.tile)]
      let rows = Int(tile.rowCount)
      let first = queryOffsets[Int(tile.request)]
      let base = Int(merge.partialRow) * kvHeads + head * rows
      for row in 0..<rows {
        let packed = Int(tile.firstRow) + row
        let (query, member) = packed.quotientAndRemainder(dividingBy: group)
        let queryHead = head * group + member
        let total = kernels.merge(
          partialOutput + (base + row) * valueDimension, rows * kvHeads * valueDimension,
          partialLSE + base + row, rows * kvHeads, Int(merge.count), valueDimension,
          output.row(first + query) + queryHead * valueDimension)
        if let lse { lse.row(first + query)[queryHead] = total * lseFactor }
      }
    }
  }
}
