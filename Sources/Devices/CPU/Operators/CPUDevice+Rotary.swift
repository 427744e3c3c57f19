internal import CMicrokernels
public import Tensors

extension CPUDevice {
  /// Turns the pairs of every head by the angles of the rows' positions.
  ///
  /// - Parameters:
  ///   - x: Tokens × (heads · headDimension).
  ///   - heads: The number of heads of a row.
  ///   - table: Cosines and sines; it turns `dimension` elements of each head.
  ///   - entries: The table's entry of every row; by default row `i` takes entry `i`. Of a table
  ///     filled with `0 ..< n`, entries are positions.
  ///   - first: The first element of a head that is turned; the others stay.
  ///   - y: Where the result goes, of the shape of `x`; by default `x` itself.
  public func rotate(
    _ x: MatrixView, heads: Int, by table: RotaryTable, entries: [Int]? = nil, first: Int = 0,
    into y: MatrixView? = nil
  ) throws(OperatorFailure) {
    let y = y ?? x
    try requireSameShape(x, y)
    try requireValues([heads], "heads", expected: "at least 1") { $0 >= 1 }
    try require(
      x.columns % heads == 0, "x", expected: "whole heads, \(heads) of them",
      found: "\(x.columns) columns")
    let headDimension = x.columns / heads
    try requireValues([first], "first", expected: "0 to \(headDimension - table.dimension)") {
      $0 >= 0 && $0 <= headDimension - table.dimension
    }
    if let entries {
      try require(
        entries.count == x.rows, "entries", expected: "\(x.rows) elements",
        found: "\(entries.count)")
      try requireValues(entries, "entries", expected: "0 to \(table.count - 1)") {
        (0..<table.count).contains($0)
      }
    } else {
      try require(
        table.count >= x.rows, "table", expected: "at least \(x.rows) entries",
        found: "\(table.count)")
    }
    guard let pairs = operators.rotate_pairs, let halves = operators.rotate_halves else { return }
    let turn = table.pairing == .adjacent ? pairs : halves
    forEachRow(of: x) { row in
      let entry = entries?[row] ?? row
      if y.base != x.base { y.row(row).update(from: x.row(row), count: x.columns) }
      for head in 0..<heads {
        turn(
          y.row(row) + head * headDimension + first, table.cosines(entry), table.sines(entry),
          table.width)
      }
    }
  }

  /// Turns queries and keys by their positions, in place (FlashInfer's `apply_rope_pos_ids`, with
  /// the embedding's pairing and scaling).
  ///
  /// - Parameters:
  ///   - queries: Tokens × (query heads · headDimension).
  ///   - keys: Tokens × (key heads · headDimension).
  ///   - headDimension: Elements of a head, at least the embedding's dimension.
  ///   - embedding: How far what turns.
  ///   - positions: The position of every token.
  public func applyRoPE(
    queries: MatrixView, keys: MatrixView, headDimension: Int, _ embedding: RotaryEmbedding,
    positions: [Int]
  ) throws(OperatorFailure) {
    var table = RotaryTable(embedding)
    try require(
      positions.count == queries.rows, "positions", expected: "\(queries.rows) elements",
      found: "\(positions.count)")
    table.fill(positions: positions)
    try applyRoPE(queries: queries, keys: keys, headDimension: headDimension, table)
  }

  /// Turns the queries and keys of a ragged batch, in place (FlashInfer's `apply_rope`).
  ///
  /// - Parameters:
  ///   - queries: Tokens × (query heads · headDimension).
  ///   - keys: Tokens × (key heads · headDimension).
  ///   - headDimension: Elements of a head, at least the embedding's dimension.
  ///   - embedding: How far what turns.
  ///   - requests: Which tokens are whose (`indptr`).
  ///   - offsets: The position of every request's first token.
  public func applyRoPE(
    queries: MatrixView, keys: MatrixView, headDimension: Int, _ embedding: RotaryEmbedding,
    requests: RaggedIndex, offsets: [Int]
  ) throws(OperatorFailure) {
    try require(
      offsets.count == requests.count, "offsets", expected: "\(requests.count) elements",
      found: "\(offsets.count)")
    try require(
      requests.total == queries.rows, "requests", expected: "\(queries.rows) tokens",
      found: "\(requests.total)")
    let positions = offsets.indices.flatMap { request in
      requests[request].indices.map { offsets[request] + $0 - requests[request].lowerBound }
    }
    try applyRoPE(
      queries: queries, keys: keys, headDimension: headDimension, embedding, positions: positions)
  }

  /// Turns queries and keys by a table, in place (FlashInfer's
  /// `apply_rope_with_cos_sin_cache` where `entries` are positions).
  ///
  /// - Parameters:
  ///   - queries: Tokens × (query heads · headDimension).
  ///   - keys: Tokens × (key heads · headDimension).
  ///   - headDimension: Elements of a head, at least the table's dimension.
  ///   - table: Cosines and sines.
  ///   - entries: The table's entry of every token; by default token `i` takes entry `i`.
  public func applyRoPE(
    queries: MatrixView, keys: MatrixView, headDimension: Int, _ table: RotaryTable,
    entries: [Int]? = nil
  ) throws(OperatorFailure) {
    try requireValues([headDimension], "headDimension", expected: "at least 1") { $0 >= 1 }
    try require(
      queries.rows == keys.rows, "keys", expected: "\(queries.rows) rows", found: "\(keys.rows)")
    for (view, name) in [(queries, "queries"), (keys, "keys")] {
      try require(
        view.columns % headDimension == 0 && view.columns > 0, name,
        expected: "columns a multiple of \(headDimension)", found: "\(view.columns)")
    }
    try rotate(queries, heads: queries.columns / headDimension, by: table, entries: entries)
    try rotate(keys, heads: keys.columns / headDimension, by: table, entries: entries)
  }
}
