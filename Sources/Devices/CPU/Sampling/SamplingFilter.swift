/// Which tokens of a distribution may be drawn.
///
/// Tokens are ordered by probability, the lower index first among equals; top-k and top-p keep a
/// beginning of that order, min-p then drops what is too improbable beside the most probable token.
public struct SamplingFilter: Sendable, Hashable {
  /// Only the `topK` most probable tokens stay; 0 keeps all.
  public var topK = 0
  /// Only the smallest beginning of the order whose probabilities sum to at least `topP` stays, and
  /// always the most probable token; 1 keeps all.
  public var topP: Float = 1
  /// Only tokens at least `minP` times as probable as the most probable one stay.
  public var minP: Float = 0
  /// What `topP` is a share of.
  public var order = Order.topKFirst

  /// How top-k and top-p apply together.
  public enum Order: Sendable, Hashable {
    /// One after the other: `topP` is a share of what top-k left (FlashInfer's `top_k_first`).
    case topKFirst
    /// Both to the whole distribution: `topP` is a share of everything (FlashInfer's `joint`).
    case joint
  }

  /// A filter; without arguments it keeps every token.
  public init(topK: Int = 0, topP: Float = 1, minP: Float = 0, order: Order = .topKFirst) {
    (self.topK, self.topP, self.minP, self.order) = (topK, topP, minP, order)
  }
}
