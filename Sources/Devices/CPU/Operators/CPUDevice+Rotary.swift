internal import CMicrokernels
public import Tensors

extension CPUDevice {
  /// Turns the pairs of every head by the angles of the rows' positions, in place.
  ///
  /// - Parameters:
  ///   - x: Tokens × (heads · headDimension).
  ///   - heads: The number of heads of a row.
  ///   - table: Holds one position for every row of `x`; its embedding turns the first
  ///     `dimension` elements of each head.
  public func rotate(_ x: MatrixView, heads: Int, by table: RotaryTable) {
    let embedding = table.embedding
    precondition(heads > 0 && x.columns % heads == 0, "rotate: columns are no whole heads")
    let headDimension = x.columns / heads
    precondition(embedding.dimension <= headDimension, "rotate: more dimensions than a head has")
    precondition(table.count >= x.rows, "rotate: fewer positions than rows")
    guard let pairs = operators.rotate_pairs, let halves = operators.rotate_halves else { return }
    let turn = embedding.pairing == .adjacent ? pairs : halves
    forEachRow(of: x) { row in
      for head in 0..<heads {
        turn(
          x.row(row) + head * headDimension, table.cosines(row), table.sines(row), table.width)
      }
    }
  }
}
