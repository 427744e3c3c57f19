import Synchronization
public import Tokenizers

/// How far a text has come within a constraint.
///
/// A copy costs nothing and goes its own way.
public struct ConstraintState: Sendable {
  /// The constraint that the text is within.
  public let constraint: TokenConstraint

  private var tables: ConstraintTables
  private var configuration: Int32
  /// What has been looked at for this text's masks, and the most that may be: a few seconds.
  private var work = 0
  private static let mostWork = 20_000_000
  /// An end of generation was taken.
  public private(set) var isEnded = false
  /// Whether the text may end here: the tokens that end a generation are allowed.
  public private(set) var isComplete = false

  init(_ constraint: TokenConstraint, _ tables: ConstraintTables, _ configuration: Int32) {
    self.constraint = constraint
    self.tables = tables
    self.configuration = configuration
    isComplete = tables.masks.withLock { $0.isComplete(configuration) }
  }

  /// Sets a mask to the tokens that may come next.
  ///
  /// Where the text is complete, the tokens that end a generation are among them; where it can only
  /// end, they alone, or none if the vocabulary has none.
  ///
  /// - Parameter mask: as long as the vocabulary; another length becomes so.
  /// - Throws: `ConstraintError.tooComplex` where the grammar is so ambiguous here that finding the
  ///   tokens would take others' time.
  public mutating func fillMask(_ mask: inout TokenMask) throws(ConstraintError) {
    if mask.count != constraint.vocabularySize {
      mask = TokenMask(count: constraint.vocabularySize)
    }
    if isEnded {
      mask = TokenMask(count: constraint.vocabularySize)
      return
    }
    moveFromLargeTables()
    let (isFound, spent) = tables.masks.withLock { masks in
      let before = masks.table.work
      return (masks.fill(&mask.words, configuration), masks.table.work - before)
    }
    work += spent
    guard isFound, work < Self.mostWork else {
      throw .tooComplex("what may follow is too ambiguous to be found for every token")
    }
  }

  /// Takes the next token.
  ///
  /// - Returns: false, with the state as it was, where the token may not come next.
  public mutating func advance(_ token: TokenID) -> Bool {
    if isEnded { return false }
    if constraint.trie.endOfGeneration.contains(token) {
      isEnded = isComplete
      return isComplete
    }
    return advance(bytes: constraint.trie.spelling(of: token))
  }

  /// Takes bytes of text, of which whole tokens need not be made; none at all are refused.
  public mutating func advance(bytes: some Collection<UInt8>) -> Bool {
    if isEnded || bytes.isEmpty { return false }
    moveFromLargeTables()
    let (next, complete) = tables.masks.withLock { masks in
      let next = masks.follow(configuration, bytes)
      return (next, next == ConfigurationTable.dead ? false : masks.isComplete(next))
    }
    if next == ConfigurationTable.dead { return false }
    configuration = next
    isComplete = complete
    return true
  }

  /// Begins new tables where the old ones have taken too much memory.
  private mutating func moveFromLargeTables() {
    let snapshot = tables.masks.withLock { masks in
      constraint.isTooLarge(masks) ? masks.table.snapshot(configuration) : nil
    }
    guard let snapshot else { return }
    tables = constraint.successor(of: tables)
    configuration = tables.masks.withLock { $0.adopt(snapshot) }
  }
}
