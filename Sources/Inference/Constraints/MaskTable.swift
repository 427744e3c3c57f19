import Tokenizers

/// Masks of the configurations of one automaton over one vocabulary, found once and kept.
///
/// Most tokens are decided by a state alone, whatever the stack: for each state these are found by
/// one walk over the trie of all tokens. The walk also says where a token's bytes leave the rule
/// (where they *escape*); only what follows there is walked for each configuration anew. The idea is
/// XGrammar's (arXiv 2411.15100): context-independent tokens are known before the stack is.
struct MaskTable {
  /// The tokens that a state decides, and the nodes of the trie at which the rule may have ended.
  private struct StateMask {
    var accepted: CompactMask
    var escapes: [Int32]
    /// The deepest stack that its tokens ask for, above the state's own.
    var reach: Int32
  }

  let trie: TokenTrie
  private let classes: LookaheadClasses
  private(set) var table: ConfigurationTable
  private var stateMasks: [Int32: StateMask] = [:]
  private var masks: [Int32: CompactMask] = [:]
  private var maskBytes = 0
  /// The configurations on the path to the node of a walk.
  private var path: [Int32]

  /// The most items that are looked at for one mask or one token: a fraction of a second.
  private static let mostWork = 2_000_000

  /// - Parameter classes: those of the automaton's states for texts as long as the longest token.
  init(_ automaton: PushdownAutomaton, _ trie: TokenTrie, _ classes: LookaheadClasses) {
    self.trie = trie
    self.classes = classes
    table = ConfigurationTable(automaton)
    path = Array(repeating: 0, count: trie.height + 1)
  }

  /// About how many bytes it takes.
  var byteCount: Int { table.byteCount + maskBytes }

  /// Before any byte; `ConfigurationTable.dead` where finding it would take too long.
  mutating func initial() -> Int32 {
    limitWork()
    return table.initial()
  }

  mutating func adopt(_ snapshot: ConfigurationTable.Snapshot) -> Int32 { table.adopt(snapshot) }

  func isComplete(_ configuration: Int32) -> Bool {
    configuration != ConfigurationTable.dead
      && table.configurations[Int(configuration)].flags.contains(.complete)
  }

  private mutating func limitWork() { table.workLimit = table.work + Self.mostWork }

  /// After the bytes, or `ConfigurationTable.dead`, also where following them would take too long.
  mutating func follow(_ configuration: Int32, _ bytes: some Sequence<UInt8>) -> Int32 {
    limitWork()
    var here = configuration
    if here == ConfigurationTable.dead { return here }
    for byte in bytes {
      here = table.step(here, byte)
      if here == ConfigurationTable.dead { break }
    }
    return here
  }

  /// The tokens that may follow a configuration; those that end a generation where it is complete.
  ///
  /// - Returns: Whether they were found; not where it would take too long.
  mutating func fill(_ mask: inout [UInt64], _ configuration: Int32) -> Bool {
    for i in mask.indices { mask[i] = 0 }
    if let known = masks[configuration] {
      known.formUnion(into: &mask)
      return true
    }
    if configuration == ConfigurationTable.dead { return false }
    limitWork()
    let key = table.configurations[Int(configuration)]
    var ignored = Findings()
    for item in key.items {
      guard let own = stateMask(item.state) else { return false }
      let depth = table.stacks.depth(item.stacks)
      if depth + own.reach > ConfigurationTable.deepestStack {
        walk(below: 0, from: table.alone(item), into: &mask, found: &ignored)
        continue
      }
      own.accepted.formUnion(into: &mask)
      if own.escapes.isEmpty { continue }
      let outside = table.afterReturn(to: item.stacks)
      if outside == ConfigurationTable.dead { continue }
      for node in own.escapes { walk(below: node, from: outside, into: &mask, found: &ignored) }
    }
    guard table.work < table.workLimit else { return false }
    if key.flags.contains(.complete) {
      for id in trie.endOfGeneration { mask[Int(id) >> 6] |= 1 << (UInt64(id) & 63) }
    }
    let kept = CompactMask(mask)
    masks[configuration] = kept
    maskBytes += kept.byteCount
    return true
  }

  private mutating func stateMask(_ item: Int32) -> StateMask? {
    let state = classes.representatives[Int(item)]
    if let known = stateMasks[state] { return known }
    var accepted = [UInt64](repeating: 0, count: (trie.vocabularySize + 63) / 64)
    let alone = table.alone(.init(state: state, stacks: table.stacks.hidden))
    var found = Findings()
    walk(below: 0, from: alone, into: &accepted, found: &found)
    guard table.work < table.workLimit else { return nil }
    let result = StateMask(
      accepted: CompactMask(accepted), escapes: found.escapes, reach: found.reach)
    stateMasks[state] = result
    maskBytes += result.accepted.byteCount + found.escapes.count * 4
    return result
  }

  /// What a walk over unknown stacks finds beside tokens.
  private struct Findings {
    /// The inner nodes at which an unknown stack was returned to.
    var escapes: [Int32] = []
    var reach: Int32 = 0
  }

  /// Adds the tokens below a node of the trie whose remaining bytes the configuration allows; not
  /// all of them where the work limit is reached.
  private mutating func walk(
    below node: Int32, from: Int32, into mask: inout [UInt64], found: inout Findings
  ) {
    var i = Int(node) + 1
    let end = Int(trie.ends[Int(node)])
    path[Int(trie.depths[Int(node)])] = from
    while i < end, table.work < table.workLimit {
      let depth = Int(trie.depths[i])
      let next = table.step(path[depth - 1], trie.bytes[i])
      if next == ConfigurationTable.dead {
        i = Int(trie.ends[i])
        continue
      }
      path[depth] = next
      let token = trie.tokens[i]
      if token >= 0 {
        mask[Int(token) >> 6] |= 1 << (UInt64(token) & 63)
      } else if token < -1 {
        for id in trie.groups[Int(-2 - token)] { mask[Int(id) >> 6] |= 1 << (UInt64(id) & 63) }
      }
      found.reach = max(found.reach, table.reaches[Int(next)])
      if table.escapes[Int(next)], Int(trie.ends[i]) > i + 1 {
        found.escapes.append(Int32(truncatingIfNeeded: i))
      }
      i += 1
    }
  }
}
