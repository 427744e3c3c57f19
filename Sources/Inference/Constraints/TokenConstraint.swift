import Synchronization
public import Tokenizers

/// A grammar over a vocabulary: says which tokens may come next so that the text stays within it.
///
/// Made once and shared by any number of requests and threads. What it learns about states (steps,
/// masks) is kept in tables that all of them use, up to a limit of memory.
///
/// ```swift
/// let constraint = try TokenConstraint(.regex("[0-9]+"), tokenizer: tokenizer)
/// var state = constraint.makeState()
/// var mask = TokenMask(count: tokenizer.vocabularySize)
/// try state.fillMask(&mask)
/// ```
public final class TokenConstraint: Sendable {
  /// What the text must be.
  public let grammar: ConstraintGrammar
  /// The number of ids of the vocabulary, and of bits of its masks.
  public var vocabularySize: Int { trie.vocabularySize }

  let trie: TokenTrie
  let automaton: PushdownAutomaton
  private let classes: LookaheadClasses
  private let memoryLimit: Int
  private let current: Mutex<ConstraintTables>

  /// Compiles a grammar.
  ///
  /// - Parameters:
  ///   - trie: the vocabulary; make it once, as it takes longer than most grammars.
  ///   - memoryLimit: the bytes that what is learnt may take before it is learnt anew.
  public init(
    _ grammar: ConstraintGrammar, trie: TokenTrie, memoryLimit: Int = 32 << 20
  ) throws(ConstraintError) {
    self.grammar = grammar
    self.trie = trie
    self.memoryLimit = memoryLimit
    automaton = try PushdownAutomaton(grammar.rules())
    classes = LookaheadClasses(automaton.states, length: trie.height)
    current = Mutex(ConstraintTables(automaton, trie, classes))
  }

  /// Compiles a grammar for a tokenizer's vocabulary.
  public convenience init(
    _ grammar: ConstraintGrammar, tokenizer: Tokenizer
  ) throws(ConstraintError) {
    try self.init(grammar, trie: TokenTrie(tokenizer))
  }

  /// The state before the first token.
  public func makeState() -> ConstraintState {
    let tables = current.withLock { $0 }
    return ConstraintState(self, tables, tables.masks.withLock { $0.initial() })
  }

  /// The tables to go on with after `tables`, which may have become too large.
  func successor(of tables: ConstraintTables) -> ConstraintTables {
    current.withLock { current in
      if current === tables { current = ConstraintTables(automaton, trie, classes) }
      return current
    }
  }

  func isTooLarge(_ masks: borrowing MaskTable) -> Bool { masks.byteCount > memoryLimit }
}

/// What a constraint has learnt; states hold on to the one that their numbers are of.
final class ConstraintTables: Sendable {
  let masks: Mutex<MaskTable>

  init(_ automaton: PushdownAutomaton, _ trie: TokenTrie, _ classes: LookaheadClasses) {
    masks = Mutex(MaskTable(automaton, trie, classes))
  }
}
