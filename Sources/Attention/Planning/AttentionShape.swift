import Glibc

/// The sizes of a layer's attention that all its steps share.
public struct AttentionShape: Sendable, Hashable {
  /// Query heads, a multiple of `kvHeads`.
  public var queryHeads: Int
  /// Key/value heads.
  public var kvHeads: Int
  /// Elements of a query and of a key.
  public var headDimension: Int
  /// Elements of a value and of an output head.
  public var valueDimension: Int

  /// A shape; the value dimension is the head dimension unless given.
  public init(
    queryHeads: Int, kvHeads: Int, headDimension: Int, valueDimension: Int? = nil
  ) {
    self.queryHeads = queryHeads
    self.kvHeads = kvHeads
    self.headDimension = headDimension
    self.valueDimension = valueDimension ?? headDimension
  }

  /// Query heads for each key/value head, g.
  public var groupSize: Int { queryHeads / kvHeads }
}
