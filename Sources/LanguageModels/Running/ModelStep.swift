public import Attention
internal import Tensors
public import Tokenizers

/// The tokens that run through a model together: some of each sequence, one row for each.
public struct ModelStep: Sendable {
  /// The tokens, in the order of the batch's rows.
  public var tokens: [TokenID]
  /// How many rows each sequence brings, and the pages of its keys, the rows' own among them.
  public var batch: AttentionBatch
  /// Branching drafts to verify, whose rows follow those of `batch`.
  public var trees: SpeculationBatch?

  /// A step.
  ///
  /// - Parameters:
  ///   - tokens: A token for every row.
  ///   - batch: Sequences that grow at their end.
  ///   - trees: Sequences whose new tokens are trees of drafts; their rows come last.
  public init(tokens: [TokenID], batch: AttentionBatch, trees: SpeculationBatch? = nil) {
    self.tokens = tokens
    self.batch = batch
    self.trees = trees
  }

  /// The rows of both parts.
  var rowCount: Int { batch.queries.total + (trees?.batch.queries.total ?? 0) }

  /// The absolute position of every row.
  var positions: [Int] {
    var positions: [Int] = []
    positions.reserveCapacity(rowCount)
    for r in 0..<batch.requestCount {
      let length = Int(batch.pages.kvLengths[r])
      positions += length - batch.queries[r].count..<length
    }
    return positions + (trees?.positions ?? [])
  }

  /// Where every row's key and value are stored.
  var slots: [Int] { batch.newTokenSlots + (trees?.batch.newTokenSlots ?? []) }
}
