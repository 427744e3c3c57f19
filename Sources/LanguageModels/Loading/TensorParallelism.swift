import Devices
public import Tensors

/// One of several ranks that compute a model together (Megatron-LM, arXiv 1909.08053, §3).
///
/// A rank has some of the heads and some of the feed-forward layers' inner elements: rows of the
/// weights that make them, columns of those that use them. Each branch ends with a sum over the ranks;
/// everything else every rank computes for itself.
public struct TensorParallelism: Sendable {
  /// This rank's number, from 0.
  public let rank: Int
  /// The number of ranks.
  public let count: Int
  /// Replaces a matrix by the sum of all ranks'; every rank calls it as often, in the same order.
  let addUp: @Sendable (MatrixView) throws -> Void

  /// A rank.
  ///
  /// - Parameters:
  ///   - rank: Its number, below `count`.
  ///   - count: The number of ranks.
  ///   - addUp: Replaces a matrix by the sum of all ranks' matrices.
  public init(rank: Int, count: Int, addUp: @escaping @Sendable (MatrixView) throws -> Void) {
    (self.rank, self.count, self.addUp) = (rank, count, addUp)
  }
}

extension ModelConfiguration {
  /// The sizes of one rank's part.
  func part(of parallelism: TensorParallelism?) throws(ModelError) -> ModelConfiguration {
    guard let parallelism else { return self }
    let count = parallelism.count
    var part = self
    for (key, path) in [
      ("attention.head_count", \ModelConfiguration.headCount),
      ("attention.head_count_kv", \.kvHeadCount), ("feed_forward_length", \.feedForwardWidth),
    ] {
      guard count > 0, (0..<count).contains(parallelism.rank), self[keyPath: path] % count == 0
      else {
        throw .metadata(
          key: key, expected: "a multiple of \(count) ranks, of which this is \(parallelism.rank)",
          found: String(self[keyPath: path]))
      }
      part[keyPath: path] /= count
    }
    return part
  }
}
