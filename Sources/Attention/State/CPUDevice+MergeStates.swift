internal import CMicrokernels
public import Devices
import Glibc
public import Tensors

// The merge ⊕ over tensors (FlashInfer, §2.2: arXiv 2501.01005). An empty state is an exact
// identity whatever its output holds, and rows that are all empty give exactly (0, −∞).
extension CPUDevice {
  /// Merges the states of two disjoint KV sets, row by row and head by head (FlashInfer's
  /// `merge_state`).
  ///
  /// - Parameters:
  ///   - a: States of rows × heads × D.
  ///   - b: As many; its logarithms may have another base.
  ///   - result: Where a ⊕ b goes, of the same shape; may be `a` or `b`.
  public func mergeState(
    _ a: AttentionStates, _ b: AttentionStates, into result: AttentionStates
  ) throws(OperatorFailure) {
    try requireStates(a, "a")
    try requireStates(b, "b", like: a)
    try requireStates(result, "result", like: a)
    forEachRow(of: result.outputs) { mergePair(a, b, result, row: $0) }
  }

  /// Merges other states into some (FlashInfer's `merge_state_in_place`): state ← state ⊕ other.
  ///
  /// - Parameters:
  ///   - state: States of rows × heads × D; the result replaces them.
  ///   - other: As many.
  ///   - mask: Whether each row is merged; a row that is not stays as it is.
  public func mergeStateInPlace(
    _ state: AttentionStates, _ other: AttentionStates, mask: [Bool]? = nil
  ) throws(OperatorFailure) {
    try requireStates(state, "state")
    try requireStates(other, "other", like: state)
    if let mask {
      try require(
        mask.count == state.rows, "mask", expected: "\(state.rows) elements",
        found: "\(mask.count)")
    }
    forEachRow(of: state.outputs) { row in
      if mask?[row] ?? true { mergePair(state, other, state, row: row) }
    }
  }

  /// Merges equally many states into each row (FlashInfer's `merge_states`).
  ///
  /// - Parameters:
  ///   - states: The states of row `i` in rows `i·count ..< (i + 1)·count`, merged in this order.
  ///   - count: The number of states of a row; of 0 states comes (0, −∞).
  ///   - result: Where the merged states go: one for every row.
  public func mergeStates(_ states: AttentionStates, count: Int, into result: AttentionStates)
    throws(OperatorFailure)
  {
    try requireValues([count], "count", expected: "at least 0") { $0 >= 0 }
    try requireStates(result, "result")
    try requireStates(states, "states", like: result, rows: result.rows * count)
    merge(states, into: result) { $0 * count..<($0 + 1) * count }
  }

  /// Merges any number of states into each row (FlashInfer's `variable_length_merge_states`).
  ///
  /// - Parameters:
  ///   - states: The states of all rows, one after another.
  ///   - index: Which states belong to each row (`indptr`), merged in order; of none comes (0, −∞).
  ///   - result: Where the merged states go: one for every row of `index`.
  public func mergeStates(
    _ states: AttentionStates, index: RaggedIndex, into result: AttentionStates
  ) throws(OperatorFailure) {
    try requireStates(result, "result")
    try require(
      index.count == result.rows, "index", expected: "\(result.rows) rows", found: "\(index.count)")
    try requireStates(states, "states", like: result, rows: index.total)
    merge(states, into: result) { index[$0] }
  }

  private func requireStates(
    _ states: AttentionStates, _ argument: String, like other: AttentionStates? = nil,
    rows: Int? = nil, _ operation: String = #function
  ) throws(OperatorFailure) {
    let columns = other?.outputs.columns ?? states.heads * states.dimension
    let rows = rows ?? other?.rows ?? states.rows
    try require(
      states.outputs, "\(argument).outputs", rows: rows, columns: columns, operation)
    try require(
      states.logSumExps, "\(argument).logSumExps", rows: rows,
      columns: other?.heads ?? states.heads, operation)
  }

  private func mergePair(
    _ a: AttentionStates, _ b: AttentionStates, _ result: AttentionStates, row: Int
  ) {
    for head in 0..<result.heads {
      let (first, second) = (a.natural(row, head), b.natural(row, head))
      // NaN wins, so that it shows.
      let top = first > second || first.isNaN ? first : second
      let empty = top == -.infinity
      let (mine, theirs) = empty ? (0, 0) : (exp(first - top), exp(second - top))
      let total = mine + theirs
      linearKernels.operators.combine?(
        a.output(row, head), empty ? 0 : mine / total, b.output(row, head),
        empty ? 0 : theirs / total, result.output(row, head), result.dimension)
      if theirs == 0, mine == 1 {
        result.copyLogSumExp(of: a, row, head)
      } else if mine == 0, theirs == 1 {
        result.copyLogSumExp(of: b, row, head)
      } else {
        result.setLogSumExp(empty ? -.infinity : top + log(total), row, head)
      }
    }
  }

  private func merge(
    _ states: AttentionStates, into result: AttentionStates, _ index: (Int) -> Range<Int>
  ) {
    forEachRow(of: result.outputs) { row in
      for head in 0..<result.heads {
        result.output(row, head).update(repeating: 0, count: result.dimension)
        let merged = sum(states, index(row), head, into: result.output(row, head))
        result.setLogSumExp(merged, row, head)
      }
    }
  }

  /// Adds one head's states, weighted, to `output`, which is 0, and returns their log-sum-exp.
  private func sum(
    _ states: AttentionStates, _ rows: Range<Int>, _ head: Int,
    into output: UnsafeMutablePointer<Float>
  ) -> Float {
    var top = -Float.infinity
    for row in rows {
      let value = states.natural(row, head)
      if value > top || value.isNaN { top = value }
    }
    guard top != -.infinity else { return top }
    let total = rows.reduce(Float(0)) { $0 + exp(states.natural($1, head) - top) }
    for row in rows {
      linearKernels.operators.combine?(
        output, 1, states.output(row, head), exp(states.natural(row, head) - top) / total, output,
        states.dimension)
    }
    return top + log(total)
  }
}
