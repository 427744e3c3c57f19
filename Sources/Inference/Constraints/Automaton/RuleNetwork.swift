/// What a grammar's automata may cost in all.
struct GrammarBudget {
  /// States of nondeterministic automata.
  var networkStates = 1 << 18
  /// States of deterministic automata.
  var states = 1 << 16
  /// Members of the sets of states that deterministic states are.
  var members = 1 << 22

  /// Takes from a part of the budget.
  mutating func spend(
    _ count: Int = 1, on part: WritableKeyPath<GrammarBudget, Int>, _ what: String
  ) throws(ConstraintError) {
    self[keyPath: part] -= count
    if self[keyPath: part] < 0 {
      throw .tooComplex("it has too many \(what); are there large repetitions?")
    }
  }
}

/// A rule as a nondeterministic automaton (Thompson's construction): edges for bytes, for nothing,
/// and for whole other rules.
struct RuleNetwork {
  struct Edge {
    var from: Int32
    var to: Int32
    var label: Label
  }

  enum Label {
    case nothing
    case bytes(UInt8, UInt8)
    case call(Int32)
  }

  static let start: Int32 = 0
  static let end: Int32 = 1

  private(set) var stateCount: Int32 = 2
  private(set) var edges: [Edge] = []
  private let nullable: [Bool]

  /// - Parameter nullable: for each rule, whether it matches the empty text.
  init(
    _ body: Expression, nullable: [Bool], budget: inout GrammarBudget
  ) throws(ConstraintError) {
    self.nullable = nullable
    try build(body, from: Self.start, to: Self.end, &budget)
  }

  private mutating func state(_ budget: inout GrammarBudget) throws(ConstraintError) -> Int32 {
    try budget.spend(on: \.networkStates, "states")
    stateCount += 1
    return stateCount - 1
  }

  private mutating func connect(_ from: Int32, _ to: Int32, _ label: Label = .nothing) {
    edges.append(Edge(from: from, to: to, label: label))
  }

  private mutating func build(
    _ expression: Expression, from: Int32, to: Int32, _ budget: inout GrammarBudget
  ) throws(ConstraintError) {
    switch expression {
    case .bytes(let bytes):
      var here = from
      for byte in bytes.dropLast() {
        let next = try state(&budget)
        connect(here, next, .bytes(byte, byte))
        here = next
      }
      if let last = bytes.last {
        connect(here, to, .bytes(last, last))
      } else {
        connect(here, to)
      }
    case .characters(let set): try characters(set, from: from, to: to, &budget)
    case .sequence(let parts):
      var here = from
      for part in parts.dropLast() {
        let next = try state(&budget)
        try build(part, from: here, to: next, &budget)
        here = next
      }
      if let last = parts.last {
        try build(last, from: here, to: to, &budget)
      } else {
        connect(here, to)
      }
    case .choice(let parts):
      for part in parts { try build(part, from: from, to: to, &budget) }
    case .repeated(let part, let min, let max):
      var here = from
      for _ in 0..<min {
        let next = try state(&budget)
        try build(part, from: here, to: next, &budget)
        here = next
      }
      if let max {
        for _ in 0..<Swift.max(0, max - min) {
          let next = try state(&budget)
          connect(here, to)
          try build(part, from: here, to: next, &budget)
          here = next
        }
        connect(here, to)
      } else {
        let loop = try state(&budget)
        connect(here, loop)
        try build(part, from: loop, to: loop, &budget)
        connect(loop, to)
      }
    case .rule(let rule):
      connect(from, to, .call(Int32(truncatingIfNeeded: rule)))
      if nullable[rule] { connect(from, to) }
    case .diagram(let diagram):
      let first = try states(diagram.stateCount, &budget)
      func place(_ state: Int) -> Int32 { first + Int32(truncatingIfNeeded: state) }
      connect(from, first)
      for edge in diagram.edges {
        try build(edge.label, from: place(edge.from), to: place(edge.to), &budget)
      }
      for state in diagram.accepting { connect(place(state), to) }
    case .regular(let automaton):
      let first = try states(automaton.states.count, &budget)
      connect(from, first)
      for (i, state) in automaton.states.enumerated() {
        let here = first + Int32(truncatingIfNeeded: i)
        for edge in state.bytes { connect(here, first + edge.to, .bytes(edge.low, edge.high)) }
        for call in state.calls { connect(here, first + call.to, .call(call.rule)) }
        if state.accepting { connect(here, to) }
      }
    }
  }

  /// So many new states with consecutive numbers; the first of them.
  private mutating func states(
    _ count: Int, _ budget: inout GrammarBudget
  ) throws(ConstraintError) -> Int32 {
    try budget.spend(count, on: \.networkStates, "states")
    defer { stateCount += Int32(truncatingIfNeeded: count) }
    return stateCount
  }

  /// One character; sequences that end alike share their ends.
  private mutating func characters(
    _ set: ScalarSet, from: Int32, to: Int32, _ budget: inout GrammarBudget
  ) throws(ConstraintError) {
    var tails: [[ClosedRange<UInt8>]: Int32] = [:]
    for sequence in set.utf8Sequences {
      var target = to
      for length in 1..<max(sequence.count, 1) {
        let tail = Array(sequence.suffix(length))
        if let known = tails[tail] {
          target = known
          continue
        }
        let before = try state(&budget)
        connect(before, target, .bytes(tail[0].lowerBound, tail[0].upperBound))
        tails[tail] = before
        target = before
      }
      connect(from, target, .bytes(sequence[0].lowerBound, sequence[0].upperBound))
    }
  }
}
