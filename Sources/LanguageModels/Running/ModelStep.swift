public import Attention
public import Devices
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
  /// Tokens to draw from what follows some rows, where the runner does (``BatchRunner/drawsTokens``).
  public var draws: [TokenDraw] = []
  /// Rows that go on with a token which the runner's step before has drawn; what `tokens` has at their
  /// places counts for nothing.
  public var carried: [CarriedToken] = []

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

/// A token to be drawn from the logits that follow a row of a step.
public struct TokenDraw: Sendable, Hashable {
  /// The row.
  public var row: Int
  /// Divides the logits; 0 takes the first of the largest.
  public var temperature: Float
  /// Which tokens may be drawn; `topP` is a share of what top-k leaves, whatever its order says.
  public var filter: SamplingFilter
  /// Where its random number is found.
  public var random: CounterRandom.Point

  /// A draw.
  public init(
    row: Int, temperature: Float, filter: SamplingFilter, random: CounterRandom.Point
  ) {
    (self.row, self.temperature, self.filter, self.random) = (row, temperature, filter, random)
  }
}

/// A row's token that the step before has drawn, whether or not anybody has seen it yet.
public struct CarriedToken: Sendable, Hashable {
  /// The row.
  public var row: Int
  /// The place among that step's draws.
  public var draw: Int

  /// A row's token.
  public init(row: Int, draw: Int) { (self.row, self.draw) = (row, draw) }
}
