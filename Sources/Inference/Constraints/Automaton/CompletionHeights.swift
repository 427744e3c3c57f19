/// For each state of a pushdown automaton the least stack with which its rule can be completed.
///
/// Knuth's generalisation of Dijkstra's algorithm: a state's height is 0 where it accepts; that of a
/// byte's target; or, for a call, the larger of the return state's and one more than the called
/// rule's. States with no height cannot be completed at all.
struct CompletionHeights {
  private(set) var heights: [Int32?]
  /// Waiting states by the height they would get.
  private var levels: [[Int32]] = [[]]

  init(_ states: [PushdownAutomaton.State]) {
    heights = Array(repeating: nil, count: states.count)
    var byteSources = [[Int32]](repeating: [], count: states.count)
    /// Calls by their return state and by the rule's first state: the caller and the other one.
    var byReturn = [[(from: Int32, other: Int32)]](repeating: [], count: states.count)
    var byStart = byReturn
    for (i, state) in states.enumerated() {
      let from = Int32(truncatingIfNeeded: i)
      for edge in state.bytes { byteSources[Int(edge.to)].append(from) }
      for call in state.calls {
        byReturn[Int(call.to)].append((from, call.start))
        byStart[Int(call.start)].append((from, call.to))
      }
      if state.accepting { levels[0].append(from) }
    }
    var level = 0
    while level < levels.count {
      guard let state = levels[level].popLast() else {
        level += 1
        continue
      }
      let i = Int(state)
      if heights[i] != nil { continue }
      let height = Int32(truncatingIfNeeded: level)
      heights[i] = height
      for source in byteSources[i] { wait(source, height) }
      for (from, start) in byReturn[i] {
        if let called = heights[Int(start)] { wait(from, max(height, called + 1)) }
      }
      for (from, to) in byStart[i] {
        if let rest = heights[Int(to)] { wait(from, max(rest, height + 1)) }
      }
    }
  }

  private mutating func wait(_ state: Int32, _ height: Int32) {
    if heights[Int(state)] != nil { return }
    while levels.count <= Int(height) { levels.append([]) }
    levels[Int(height)].append(state)
  }
}
