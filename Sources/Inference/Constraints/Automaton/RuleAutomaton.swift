/// A rule as a deterministic automaton: in each state a byte leads to one state at most, and a call
/// of a rule to one.
struct RuleAutomaton: Sendable {
  struct ByteEdge: Sendable {
    var low: UInt8
    var high: UInt8
    var to: Int32
  }

  struct Call: Sendable {
    var rule: Int32
    var to: Int32
  }

  struct State: Sendable {
    /// Sorted, without overlaps.
    var bytes: [ByteEdge] = []
    var calls: [Call] = []
    var accepting = false

    /// The state that a byte leads to.
    func next(_ byte: UInt8) -> Int32? {
      bytes.first { $0.low <= byte && byte <= $0.high }?.to
    }
  }

  /// The first is the start.
  var states: [State]

  /// The automaton of an expression that calls no rules.
  init(
    regular expression: Expression, budget: inout GrammarBudget
  ) throws(ConstraintError) {
    try self.init(RuleNetwork(expression, nullable: [], budget: &budget), budget: &budget)
  }

  /// The subset construction.
  init(_ network: RuleNetwork, budget: inout GrammarBudget) throws(ConstraintError) {
    states = []
    var construction = SubsetConstruction(network)
    var sets: [[Int32]] = []
    var numbers: [[Int32]: Int32] = [:]
    func number(_ set: [Int32]) throws(ConstraintError) -> Int32 {
      if let known = numbers[set] { return known }
      try budget.spend(on: \.states, "states")
      try budget.spend(set.count, on: \.members, "alternatives at once")
      let new = Int32(truncatingIfNeeded: sets.count)
      numbers[set] = new
      sets.append(set)
      return new
    }
    _ = try number(construction.closure([RuleNetwork.start]))
    while states.count < sets.count {
      let set = sets[states.count]
      var state = State()
      state.accepting = set.contains(RuleNetwork.end)
      for (low, high, targets) in construction.byteEdges(of: set) {
        let to = try number(construction.closure(targets))
        if let last = state.bytes.last, last.to == to, last.high &+ 1 == low {
          state.bytes[state.bytes.count - 1].high = high
        } else {
          state.bytes.append(ByteEdge(low: low, high: high, to: to))
        }
      }
      for (rule, targets) in construction.calls(of: set) {
        state.calls.append(Call(rule: rule, to: try number(construction.closure(targets))))
      }
      states.append(state)
    }
  }

  private init(states: [State]) { self.states = states }

  /// Whether the automaton, which calls no rules, matches these bytes as a whole.
  func matches(_ text: some Sequence<UInt8>) -> Bool {
    var state: Int32 = 0
    for byte in text {
      guard let next = states[Int(state)].next(byte) else { return false }
      state = next
    }
    return states[Int(state)].accepting
  }

  /// Whether no word leads to an accepting state.
  var isEmpty: Bool {
    var seen = Set<Int32>([0])
    var waiting: [Int32] = [0]
    while let state = waiting.popLast() {
      if states[Int(state)].accepting { return false }
      for edge in states[Int(state)].bytes where seen.insert(edge.to).inserted {
        waiting.append(edge.to)
      }
    }
    return true
  }

  /// The words of both automata, neither of which calls rules.
  func intersection(
    _ other: RuleAutomaton, budget: inout GrammarBudget
  ) throws(ConstraintError) -> RuleAutomaton {
    try product(other, keeps: false, budget: &budget)
  }

  /// The words of this automaton that are not words of the other; neither calls rules.
  func subtracting(
    _ other: RuleAutomaton, budget: inout GrammarBudget
  ) throws(ConstraintError) -> RuleAutomaton {
    try product(other, keeps: true, budget: &budget)
  }

  /// Runs both side by side.
  ///
  /// - Parameter keeps: accept where the other does not, and go on where it has died.
  private func product(
    _ other: RuleAutomaton, keeps: Bool, budget: inout GrammarBudget
  ) throws(ConstraintError) -> RuleAutomaton {
    struct Pair: Hashable {
      var own: Int32
      /// −1: dead.
      var other: Int32
    }
    var pairs = [Pair(own: 0, other: 0)]
    var numbers = [pairs[0]: Int32(0)]
    var result: [State] = []
    while result.count < pairs.count {
      let pair = pairs[result.count]
      let own = states[Int(pair.own)]
      let others = pair.other < 0 ? State() : other.states[Int(pair.other)]
      var state = State()
      state.accepting = own.accepting && others.accepting != keeps
      for edge in own.bytes {
        var low = Int(edge.low)
        while low <= Int(edge.high) {
          let byte = UInt8(truncatingIfNeeded: low)
          // The other's edge from here on, or the gap before its next.
          let match = others.bytes.first { $0.high >= byte }
          let hit = match.flatMap { $0.low <= byte ? $0 : nil }
          let high = min(
            Int(edge.high), hit.map { Int($0.high) } ?? match.map { Int($0.low) - 1 } ?? 255)
          if hit != nil || keeps {
            let next = Pair(own: edge.to, other: hit?.to ?? -1)
            if numbers[next] == nil {
              try budget.spend(on: \.states, "states")
              numbers[next] = Int32(truncatingIfNeeded: pairs.count)
              pairs.append(next)
            }
            state.bytes.append(
              ByteEdge(
                low: byte, high: UInt8(truncatingIfNeeded: high), to: numbers[next] ?? 0))
          }
          low = high + 1
        }
      }
      result.append(state)
    }
    return RuleAutomaton(states: result)
  }
}

/// Sets of a network's states and what leads out of them.
private struct SubsetConstruction {
  private let starts: [Int32]
  private let edges: [RuleNetwork.Edge]
  private var mark: [Int32]
  private var round: Int32 = 0

  init(_ network: RuleNetwork) {
    let count = Int(network.stateCount)
    var starts = [Int32](repeating: 0, count: count + 1)
    for edge in network.edges { starts[Int(edge.from) + 1] += 1 }
    for i in 0..<count { starts[i + 1] += starts[i] }
    var next = starts
    var order = [Int](repeating: 0, count: network.edges.count)
    for (i, edge) in network.edges.enumerated() {
      order[Int(next[Int(edge.from)])] = i
      next[Int(edge.from)] += 1
    }
    self.starts = starts
    edges = order.map { network.edges[$0] }
    mark = Array(repeating: 0, count: count)
  }

  private func edges(of state: Int32) -> ArraySlice<RuleNetwork.Edge> {
    edges[Int(starts[Int(state)])..<Int(starts[Int(state) + 1])]
  }

  /// What can be reached for nothing, sorted; only states with an edge to follow, and the end.
  mutating func closure(_ seeds: [Int32]) -> [Int32] {
    round += 1
    var waiting: [Int32] = []
    var result: [Int32] = []
    for seed in seeds where mark[Int(seed)] != round {
      mark[Int(seed)] = round
      waiting.append(seed)
    }
    while let state = waiting.popLast() {
      var isUseful = state == RuleNetwork.end
      for edge in edges(of: state) {
        guard case .nothing = edge.label else {
          isUseful = true
          continue
        }
        if mark[Int(edge.to)] != round {
          mark[Int(edge.to)] = round
          waiting.append(edge.to)
        }
      }
      if isUseful { result.append(state) }
    }
    return result.sorted()
  }

  /// Ranges of bytes, in order, and the states each leads to.
  func byteEdges(of set: [Int32]) -> [(low: UInt8, high: UInt8, targets: [Int32])] {
    var ranges: [(low: UInt8, high: UInt8, to: Int32)] = []
    var cuts = Set<Int>()
    for state in set {
      for edge in edges(of: state) {
        guard case .bytes(let low, let high) = edge.label else { continue }
        ranges.append((low, high, edge.to))
        cuts.insert(Int(low))
        cuts.insert(Int(high) + 1)
      }
    }
    let sorted = cuts.sorted()
    var result: [(low: UInt8, high: UInt8, targets: [Int32])] = []
    for (low, end) in zip(sorted, sorted.dropFirst()) {
      let targets = ranges.filter { Int($0.low) <= low && low <= Int($0.high) }.map(\.to)
      if targets.isEmpty { continue }
      result.append(
        (UInt8(truncatingIfNeeded: low), UInt8(truncatingIfNeeded: end - 1), targets))
    }
    return result
  }

  /// The rules called and the states that each call returns to.
  func calls(of set: [Int32]) -> [(rule: Int32, targets: [Int32])] {
    var targets: [Int32: [Int32]] = [:]
    for state in set {
      for edge in edges(of: state) {
        if case .call(let rule) = edge.label { targets[rule, default: []].append(edge.to) }
      }
    }
    return targets.sorted { $0.key < $1.key }.map { (rule: $0.key, targets: $0.value) }
  }
}
