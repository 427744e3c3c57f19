internal import Tensors

/// Memory of one step's activations, taken from the front and given back from the end.
///
/// Memory grows in blocks that are kept from step to step, so that steady training allocates
/// nothing.
///
/// - Invariant: A view taken since `mark` is invalid after `release(to:)` of that mark.
final class Arena {
  private var blocks: [AlignedBuffer] = []
  private var block = 0
  private var used = 0

  private static let blockFloats = 1 << 22

  /// A place to return to.
  struct Mark {
    fileprivate let block, used: Int
  }

  /// Where the next view will begin.
  var mark: Mark { Mark(block: block, used: used) }

  /// Gives back whatever was taken since `mark`.
  func release(to mark: Mark) { (block, used) = (mark.block, mark.used) }

  /// Gives back everything.
  func reset() { (block, used) = (0, 0) }

  /// A matrix with arbitrary contents.
  func matrix(_ rows: Int, _ columns: Int) -> MatrixView {
    // Rows of one matrix follow each other; matrices begin at cache lines.
    let count = max((rows * columns + 15) / 16 * 16, 16)
    while block < blocks.count, used + count > blocks[block].bytes.count / 4 {
      block += 1
      used = 0
    }
    if block == blocks.count {
      blocks.append(AlignedBuffer(byteCount: max(count, Self.blockFloats) * 4))
    }
    let base = blocks[block].elements(Float.self).baseAddress.unsafelyUnwrapped + used
    used += count
    return MatrixView(base, rows: rows, columns: columns)
  }

  /// A copy of a matrix.
  func copy(_ x: MatrixView) -> MatrixView {
    let y = matrix(x.rows, x.columns)
    for row in 0..<x.rows { y.row(row).update(from: x.row(row), count: x.columns) }
    return y
  }
}
