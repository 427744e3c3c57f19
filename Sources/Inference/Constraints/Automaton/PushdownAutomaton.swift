/// A grammar as one automaton over bytes with a stack of states to return to.
///
/// The states of all rules are numbered through. In a state, a byte leads to a state of the same
/// rule; a call puts the state to return to on the stack and goes to the start of another rule; an
/// accepting state may return. A call whose return state could only return again is a jump, so that
/// lists do not grow the stack. Every state can be completed: what cannot has been cut away.
struct PushdownAutomaton: Sendable {
  struct Call: Sendable {
    /// The first state of the rule that is called.
    var start: Int32
    /// The state to return to; −1 where nothing is left to do there.
    var to: Int32
  }

  struct State: Sendable {
    /// Sorted, without overlaps.
    var bytes: [RuleAutomaton.ByteEdge] = []
    var calls: [Call] = []
    var accepting = false
    /// The least number of stack entries with which the rest of the rule can be completed.
    var height: Int32 = 0
  }

  private(set) var states: [State] = []
  let start: Int32
  /// Bytes between which no state tells a difference, numbered.
  private(set) var classes: [UInt8] = []
  /// A byte of each class.
  private(set) var representatives: [UInt8] = []

  init(_ grammar: Grammar, budget: GrammarBudget = GrammarBudget()) throws(ConstraintError) {
    var budget = budget
    let nullable = grammar.nullableRules
    var firsts: [Int: Int32] = [:]
    var waiting = [grammar.root]
    var calls: [(state: Int, call: RuleAutomaton.Call, offset: Int32)] = []
    while let rule = waiting.popLast() {
      if firsts[rule] != nil { continue }
      let network = try RuleNetwork(
        grammar.rules[rule].body, nullable: nullable, budget: &budget)
      let automaton = try RuleAutomaton(network, budget: &budget)
      let offset = Int32(truncatingIfNeeded: states.count)
      firsts[rule] = offset
      for state in automaton.states {
        for call in state.calls {
          calls.append((states.count, call, offset))
          waiting.append(Int(call.rule))
        }
        states.append(
          State(
            bytes: state.bytes.map { .init(low: $0.low, high: $0.high, to: $0.to + offset) },
            accepting: state.accepting))
      }
    }
    for (state, call, offset) in calls {
      let to = call.to + offset
      states[state].calls.append(Call(start: firsts[Int(call.rule)] ?? 0, to: to))
    }
    start = firsts[grammar.root] ?? 0
    try trim(name: grammar.rules[grammar.root].name)
    let names = Dictionary(firsts.map { ($1, grammar.rules[$0].name) }) { first, _ in first }
    try refuseLeftRecursion(names)
    shortenReturns()
    (classes, representatives) = byteClasses()
  }

  /// Finds every state's height and cuts away what cannot be completed.
  private mutating func trim(name: String) throws(ConstraintError) {
    let heights = CompletionHeights(states).heights
    if heights[Int(start)] == nil { throw .unsatisfiable("the rule \(name) has no finite text") }
    for i in states.indices {
      states[i].bytes.removeAll { heights[Int($0.to)] == nil }
      states[i].calls.removeAll { heights[Int($0.to)] == nil || heights[Int($0.start)] == nil }
      states[i].height = heights[i] ?? 0
    }
  }

  /// A rule that calls itself before it has read a byte would never begin.
  private func refuseLeftRecursion(_ names: [Int32: String]) throws(ConstraintError) {
    // Depth first: 1 is on the path, 2 is done.
    var marks: [Int32: Int] = [:]
    for first in names.keys.sorted() where marks[first] == nil {
      var path: [(state: Int32, next: Int)] = [(first, 0)]
      marks[first] = 1
      while let (state, next) = path.last {
        let calls = states[Int(state)].calls
        guard next < calls.count else {
          marks[state] = 2
          path.removeLast()
          continue
        }
        path[path.count - 1].next += 1
        let target = calls[next].start
        switch marks[target] {
        case nil:
          marks[target] = 1
          path.append((target, 0))
        case 1:
          throw .unsatisfiable(
            "the rule \(names[target] ?? "?") begins with itself (left recursion); "
              + "put what it begins with first")
        default: continue
        }
      }
    }
  }

  private mutating func shortenReturns() {
    let isLast = states.map { $0.accepting && $0.bytes.isEmpty && $0.calls.isEmpty }
    for i in states.indices {
      for j in states[i].calls.indices where isLast[Int(states[i].calls[j].to)] {
        states[i].calls[j].to = -1
      }
    }
  }

  private func byteClasses() -> (classes: [UInt8], representatives: [UInt8]) {
    var begins = [Bool](repeating: false, count: 257)
    begins[0] = true
    for state in states {
      for edge in state.bytes {
        begins[Int(edge.low)] = true
        begins[Int(edge.high) + 1] = true
      }
    }
    var classes: [UInt8] = []
    var representatives: [UInt8] = []
    for byte in 0..<256 {
      if begins[byte] { representatives.append(UInt8(truncatingIfNeeded: byte)) }
      classes.append(UInt8(truncatingIfNeeded: representatives.count - 1))
    }
    return (classes, representatives)
  }
}

extension Grammar {
  /// For each rule, whether it matches the empty text.
  var nullableRules: [Bool] {
    var nullable = [Bool](repeating: false, count: rules.count)
    var changed = true
    while changed {
      changed = false
      for (i, rule) in rules.enumerated() where !nullable[i] && rule.body.isNullable(nullable) {
        nullable[i] = true
        changed = true
      }
    }
    return nullable
  }
}

extension Expression {
  /// Whether the empty text matches, when these rules match it.
  func isNullable(_ rules: [Bool]) -> Bool {
    switch self {
    case .bytes(let bytes): bytes.isEmpty
    case .characters: false
    case .sequence(let parts): parts.allSatisfy { $0.isNullable(rules) }
    case .choice(let parts): parts.contains { $0.isNullable(rules) }
    case .repeated(let part, let min, _): min == 0 || part.isNullable(rules)
    case .rule(let rule): rules[rule]
    case .regular(let automaton): automaton.states.first?.accepting ?? false
    case .diagram(let diagram): diagram.isNullable(rules)
    }
  }
}

extension Expression.Diagram {
  fileprivate func isNullable(_ rules: [Bool]) -> Bool {
    let free = edges.filter { $0.label.isNullable(rules) }
    var reached: Set<Int> = [0]
    var waiting = [0]
    while let state = waiting.popLast() {
      if accepting.contains(state) { return true }
      for edge in free where edge.from == state && reached.insert(edge.to).inserted {
        waiting.append(edge.to)
      }
    }
    return false
  }
}
