internal import Tensors

/// Which pairs each pass of a training sees: a function of the seed and the pass's number alone.
///
/// An epoch visits all pairs in a random order; batches are cut by target tokens. Lengths mix freely,
/// since nothing is padded, unless batches of one length are asked for.
public struct BatchOrder: Sendable {
  private let lengths: [Int]
  private let tokens: Int
  private let seed: UInt64
  private let sortsByLength: Bool
  private var epoch = -1
  private var batches: [[Int]] = []
  private var first = 0

  /// The order of pairs with the given numbers of target tokens.
  ///
  /// - Parameters:
  ///   - lengths: Target tokens of every pair, at least one pair.
  ///   - tokens: The most of a batch; a longer pair is a batch of its own.
  ///   - seed: Decides the order.
  ///   - sortsByLength: Whether a batch has pairs of about one length.
  public init(lengths: [Int], tokens: Int, seed: UInt64, sortsByLength: Bool = false) {
    self.lengths = lengths
    self.tokens = tokens
    self.seed = seed
    self.sortsByLength = sortsByLength
  }

  /// The epoch of the batch that was asked for last, from 0 on.
  public var currentEpoch: Int { max(epoch, 0) }

  /// The pairs of batch `number`; batches are asked for in any order, ascending ones fastest.
  public mutating func batch(_ number: Int) -> [Int] {
    if number < first { (epoch, batches, first) = (-1, [], 0) }
    while number >= first + batches.count {
      first += batches.count
      epoch += 1
      batches = cut(epoch)
    }
    return batches[number - first]
  }

  private func cut(_ epoch: Int) -> [[Int]] {
    var random = SplitMix(state: seed &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(epoch))
    var order = Array(lengths.indices)
    order.shuffle(using: &random)
    if sortsByLength {
      // Of one length they stay in random order: an epoch's batches are not the last one's.
      order = order.enumerated()
        .sorted { (lengths[$0.element], $0.offset) < (lengths[$1.element], $1.offset) }
        .map(\.element)
    }
    var batches: [[Int]] = []
    var batch: [Int] = []
    var count = 0
    for pair in order {
      if !batch.isEmpty, count + lengths[pair] > tokens {
        batches.append(batch)
        (batch, count) = ([], 0)
      }
      batch.append(pair)
      count += lengths[pair]
    }
    if !batch.isEmpty { batches.append(batch) }
    if sortsByLength { batches.shuffle(using: &random) }
    return batches
  }
}
