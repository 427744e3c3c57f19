/// States that no text of a bounded length tells apart.
///
/// In a counted repetition all states but the last ones are alike to a token: their masks are the
/// same. Moore's refinement of a partition, stopped after as many rounds as a token has bytes; a
/// round looks again only at states that lead into what was split.
struct LookaheadClasses {
  /// For each state a representative of its class.
  private(set) var representatives: [Int32]

  private struct Signature: Hashable {
    var accepting: Bool
    var height: Int32
    /// Edges' bytes and targets, calls' rules and returns; targets by class.
    var parts: [Int32]
  }

  init(_ states: [PushdownAutomaton.State], length: Int) {
    var classes = [Int32](repeating: 0, count: states.count)
    var sources = [[Int32]](repeating: [], count: states.count)
    for (i, state) in states.enumerated() {
      let from = Int32(truncatingIfNeeded: i)
      for edge in state.bytes { sources[Int(edge.to)].append(from) }
      for call in state.calls where call.to >= 0 { sources[Int(call.to)].append(from) }
    }
    func signature(_ state: Int32) -> Signature {
      let state = states[Int(state)]
      var parts: [Int32] = []
      for edge in state.bytes {
        parts.append(Int32(edge.low) << 8 | Int32(edge.high))
        parts.append(classes[Int(edge.to)])
      }
      parts.append(-1)
      for call in state.calls {
        parts.append(call.start)
        parts.append(call.to < 0 ? -1 : classes[Int(call.to)])
      }
      return Signature(accepting: state.accepting, height: state.height, parts: parts)
    }
    var members: [[Int32]] = [states.indices.map { Int32(truncatingIfNeeded: $0) }]
    var waiting = members[0]
    for _ in 0...length where !waiting.isEmpty {
      // The classes with a state to look at; those whose targets kept their classes stay together.
      let touched = Set(waiting.map { classes[Int($0)] }).sorted()
      let isWaiting = Set(waiting)
      var moved: [(state: Int32, to: Int32)] = []
      for old in touched {
        var groups: [Signature: [Int32]] = [:]
        var calm: [Int32] = []
        for state in members[Int(old)] {
          if isWaiting.contains(state) {
            groups[signature(state), default: []].append(state)
          } else {
            calm.append(state)
          }
        }
        if let first = calm.first { groups[signature(first), default: []] += calm }
        if groups.count == 1 { continue }
        let ordered = groups.values.sorted { ($0.count, $1[0]) > ($1.count, $0[0]) }
        members[Int(old)] = ordered[0]
        for group in ordered.dropFirst() {
          let new = Int32(truncatingIfNeeded: members.count)
          members.append(group)
          moved += group.map { ($0, new) }
        }
      }
      for (state, to) in moved { classes[Int(state)] = to }
      waiting = Array(Set(moved.flatMap { sources[Int($0.state)] }))
    }
    representatives = classes.map { members[Int($0)].first ?? 0 }
  }
}
