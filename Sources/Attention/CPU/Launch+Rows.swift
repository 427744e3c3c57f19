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
    if functors.queries.count > 0 { transformQueries(work, scratch) }
    kernels.pack_queries(scratch.queryRows, work.rows, headDimension, scale, scratch.queries)
  }

  /// The identity (0, −∞).
  func resetState(_ work: HeadItem, _ scratch: Scratch) {
    scratch.output.update(repeating: 0, count: work.rows * scratch.outputPitch)
    scratch.maximum.update(repeating: -.infinity, count: work.rows)
    scratch.sum.update(repeating: 0, count: work.rows)
    // Sums are never rescaled.
    scratch.rescale.update(repeating: 1, count: work.rows)
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
      let target = output.row(first + query) + head * valueDimension
      normalize(row, scratch, to: target)
      var total = logSumExp(row, scratch)
      if functors.finishesRows {
        total = finish(target, total, at: rowPlace(work, row: row), scratch.variant)
      }
      if let lse { lse.row(first + query)[head] = total * lseFactor }
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

  /// O / l, or exact zeros for a row that attends to nothing; without softmax O itself.
  @inline(__always)
  func normalize(_ row: Int, _ scratch: Scratch, to target: UnsafeMutablePointer<Float>) {
    if !usesSoftmax {
      target.update(from: scratch.output + row * scratch.outputPitch, count: valueDimension)
    } else if scratch.maximum[row] == -.infinity {
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
        let target = output.row(first + query) + queryHead * valueDimension
        var total = mergeRow(
          partialOutput + (base + row) * valueDimension, partialLSE + base + row,
          stride: rows * kvHeads, count: Int(merge.count), to: target)
        if functors.finishesRows {
          var here = ScorePlace()
          here.queryLength = queryOffsets[Int(tile.request) + 1] - first
          here.kvLength = Int(kvLengths[Int(tile.request)])
          here.query = here.kvLength - here.queryLength + query
          (here.queryHead, here.kvHead) = (queryHead, head)
          here.request = Int(tile.request)
          total = finish(target, total, at: here, scratches[thread].variant)
        }
        if let lse { lse.row(first + query)[queryHead] = total * lseFactor }
      }
    }
  }

  /// One row's partial states, `stride` rows apart, merged; without softmax added.
  private func mergeRow(
    _ states: UnsafePointer<Float>, _ sums: UnsafePointer<Float>, stride: Int, count: Int,
    to target: UnsafeMutablePointer<Float>
  ) -> Float {
    if usesSoftmax {
      return kernels.merge(
        states, stride * valueDimension, sums, stride, count, valueDimension, target)
    }
    for c in 0..<valueDimension {
      var sum: Float = 0
      for i in 0..<count { sum += states[i * stride * valueDimension + c] }
      target[c] = sum
    }
    return -.infinity
  }
}
