/// Where a text may stand in a pushdown automaton: the configurations met so far, with their steps.
///
/// A configuration is a set of pairs (state, set of stacks), closed under calls and returns; equal
/// ones have equal numbers. Steps are found once and kept, so that following a text is a walk over a
/// table. Numbers mean nothing outside their table.
struct ConfigurationTable {
  struct Item: Hashable {
    var state: Int32
    var stacks: Int32
  }

  /// What is true of a configuration beside its items.
  struct Flags: OptionSet, Hashable {
    let rawValue: UInt8
    /// The text may end here.
    static let complete = Flags(rawValue: 1)
    /// A return led under the known part of the stack.
    static let escaped = Flags(rawValue: 2)
  }

  struct Key: Hashable {
    var flags: Flags
    var items: [Item]
  }

  /// No text that begins so is in the language.
  static let dead: Int32 = -1
  static let notYetKnown: Int32 = -2

  /// The deepest stack; what would need a deeper one is left out.
  static let deepestStack: Int32 = 512
  /// The most items of a configuration; further ones are left out.
  static let mostItems = 1_024

  let automaton: PushdownAutomaton
  private(set) var stacks = StackPool()
  private(set) var configurations: [Key] = []
  private var numbers: [Key: Int32] = [:]
  /// For each configuration and class of bytes the next configuration.
  private(set) var steps: [Int32] = []
  private var returns: [Int32: Int32] = [:]
  /// For each configuration the deepest stack that finding it and completing it asks for.
  private(set) var reaches: [Int32] = []
  /// For each configuration whether it is flagged as escaped.
  private(set) var escapes: [Bool] = []
  private var itemCount = 0
  private var itemsSeen = 0
  /// How many items and edges of stacks were looked at to find steps, a measure of time.
  var work: Int { itemsSeen + stacks.work }
  /// The work at which a search gives up: what it looked for counts as dead, and is not kept.
  var workLimit = Int.max

  /// Node + 1 for each state of the configuration in the making; 0 for none.
  private var places: [Int32]

  init(_ automaton: PushdownAutomaton) {
    self.automaton = automaton
    places = Array(repeating: 0, count: automaton.states.count)
  }

  var classCount: Int { automaton.representatives.count }

  /// About how many bytes it takes.
  var byteCount: Int {
    stacks.byteCount + steps.count * 4 + itemCount * 20 + configurations.count * 96
  }

  /// Before any byte.
  mutating func initial() -> Int32 {
    closure([Item(state: automaton.start, stacks: stacks.empty)])
  }

  /// One item alone, whose calls and return are not taken.
  mutating func alone(_ item: Item) -> Int32 { number(Key(flags: [], items: [item]), reach: 0) }

  /// After returning to what is on top of some stacks.
  mutating func afterReturn(to node: Int32) -> Int32 {
    if let known = returns[node] { return known }
    let result = closure(
      stacks.edges(node).filter { $0.state >= 0 }.map { Item(state: $0.state, stacks: $0.below) })
    if work < workLimit { returns[node] = result }
    return result
  }

  /// After one byte more, or `dead`.
  mutating func step(_ configuration: Int32, _ byte: UInt8) -> Int32 {
    let place = Int(configuration) * classCount + Int(automaton.classes[Int(byte)])
    let known = steps[place]
    if known != Self.notYetKnown { return known }
    let found = findStep(
      configuration, automaton.representatives[Int(automaton.classes[Int(byte)])])
    if work < workLimit { steps[place] = found }
    return found
  }

  private mutating func findStep(_ configuration: Int32, _ byte: UInt8) -> Int32 {
    let items = configurations[Int(configuration)].items
    itemsSeen += items.count + 1
    let seeds = items.compactMap { item -> Item? in
      guard
        let edge = automaton.states[Int(item.state)].bytes.first(where: {
          $0.low <= byte && byte <= $0.high
        })
      else { return nil }
      return Item(state: edge.to, stacks: item.stacks)
    }
    return seeds.isEmpty ? Self.dead : closure(seeds)
  }

  /// Takes all returns and calls that need no byte.
  private mutating func closure(_ seeds: [Item]) -> Int32 {
    var flags: Flags = []
    var touched: [Int32] = []
    var waiting = seeds
    var reach: Int32 = 0
    while work < workLimit, let item = waiting.popLast() {
      itemsSeen += 1
      let state = Int(item.state)
      let depth = stacks.depth(item.stacks)
      reach = max(reach, depth + automaton.states[state].height)
      if depth + automaton.states[state].height > Self.deepestStack { continue }
      var node = item.stacks
      if places[state] == 0 {
        if touched.count == Self.mostItems { continue }
        touched.append(item.state)
      } else {
        node = stacks.union(places[state] - 1, node)
        if node == places[state] - 1 { continue }
      }
      places[state] = node + 1
      if automaton.states[state].accepting {
        itemsSeen += stacks.edges(node).count
        for edge in stacks.edges(node) {
          switch edge.state {
          case StackPool.bottom: flags.insert(.complete)
          case StackPool.unknown: flags.insert(.escaped)
          default: waiting.append(Item(state: edge.state, stacks: edge.below))
          }
        }
      }
      for call in automaton.states[state].calls {
        if call.to < 0 {
          waiting.append(Item(state: call.start, stacks: node))
          continue
        }
        let after = depth + automaton.states[Int(call.to)].height
        reach = max(reach, after)
        if after <= Self.deepestStack {
          waiting.append(Item(state: call.start, stacks: stacks.push(call.to, on: node)))
        }
      }
    }
    touched.sort()
    var items: [Item] = []
    for state in touched {
      // A state without bytes has done its part.
      if !automaton.states[Int(state)].bytes.isEmpty {
        items.append(Item(state: state, stacks: places[Int(state)] - 1))
      }
      places[Int(state)] = 0
    }
    if items.isEmpty && flags.isEmpty || work >= workLimit { return Self.dead }
    return number(Key(flags: flags, items: items), reach: reach)
  }

  private mutating func number(_ key: Key, reach: Int32) -> Int32 {
    if let known = numbers[key] {
      reaches[Int(known)] = max(reaches[Int(known)], reach)
      return known
    }
    let new = Int32(truncatingIfNeeded: configurations.count)
    numbers[key] = new
    configurations.append(key)
    reaches.append(reach)
    escapes.append(key.flags.contains(.escaped))
    itemCount += key.items.count
    steps.append(contentsOf: repeatElement(Self.notYetKnown, count: classCount))
    return new
  }
}

extension ConfigurationTable {
  /// A configuration without a table: stacks listed below before above.
  struct Snapshot: Sendable {
    fileprivate var nodes: [[StackPool.Edge]] = []
    fileprivate var key: Key?
    fileprivate var reach: Int32 = 0
  }

  /// A configuration for another table of the same automaton.
  func snapshot(_ configuration: Int32) -> Snapshot {
    var result = Snapshot()
    if configuration == Self.dead { return result }
    var places: [Int32: Int32] = [:]
    var key = configurations[Int(configuration)]
    // Nodes are numbered after all that lie below them.
    var waiting = Set(key.items.map(\.stacks))
    var reached = waiting
    while let node = waiting.popFirst() {
      for edge in stacks.edges(node) where edge.below >= 0 && reached.insert(edge.below).inserted {
        waiting.insert(edge.below)
      }
    }
    for node in reached.sorted() {
      places[node] = Int32(truncatingIfNeeded: result.nodes.count)
      result.nodes.append(
        stacks.edges(node).map {
          StackPool.Edge(state: $0.state, below: places[$0.below] ?? -1)
        })
    }
    for i in key.items.indices { key.items[i].stacks = places[key.items[i].stacks] ?? 0 }
    result.key = key
    result.reach = reaches[Int(configuration)]
    return result
  }

  /// The number that a configuration has here.
  mutating func adopt(_ snapshot: Snapshot) -> Int32 {
    guard var key = snapshot.key else { return Self.dead }
    var places: [Int32] = []
    for edges in snapshot.nodes {
      places.append(
        stacks.node(
          edges.map {
            StackPool.Edge(state: $0.state, below: $0.below < 0 ? -1 : places[Int($0.below)])
          }))
    }
    for i in key.items.indices { key.items[i].stacks = places[Int(key.items[i].stacks)] }
    return number(key, reach: snapshot.reach)
  }
}
