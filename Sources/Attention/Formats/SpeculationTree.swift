/// Draft tokens of speculative decoding: a tree after a request's committed tokens.
///
/// Token i's parent is `parents[i]`, a token before it, or −1 where it follows the committed tokens
/// directly. A token attends to all committed tokens, to its ancestors and to itself (SpecInfer's
/// tree attention, arXiv 2305.09781).
public struct SpeculationTree: Sendable, Hashable {
  /// The parent of each token; −1 stands for the last committed token.
  public let parents: [Int]
  /// The number of draft tokens before each one on its path.
  public let depths: [Int]

  /// What is wrong with a tree or with its place in a batch.
  public enum Invalid: Error, Hashable {
    /// A token's parent is neither −1 nor a token before it.
    case parent(token: Int, Int)
    /// There must be one tree for each request.
    case treeCount(expected: Int, found: Int)
    /// A request's tokens with keys do not include its draft tokens.
    case kvLength(request: Int, kvLength: Int, draftTokens: Int)
    /// The batch is not valid.
    case batch(AttentionBatch.Invalid)
    /// The mask is too large.
    case mask(PackedMask.Invalid)
  }

  /// Checks and takes a tree; parents come before their children.
  public init(parents: [Int]) throws(Invalid) {
    var depths: [Int] = []
    for (i, parent) in parents.enumerated() {
      guard (-1..<i).contains(parent) else { throw .parent(token: i, parent) }
      depths.append(parent < 0 ? 0 : depths[parent] + 1)
    }
    self.parents = parents
    self.depths = depths
  }

  /// The number of draft tokens.
  public var count: Int { parents.count }

  /// The tokens from the first draft token to `token`.
  public func path(to token: Int) -> [Int] {
    var path: [Int] = []
    var next = token
    while next >= 0 {
      path.append(next)
      next = parents[next]
    }
    return path.reversed()
  }

  /// Row-major, count × count: whether the row's token attends to the column's.
  public var ancestors: [Bool] {
    var isAncestor = [Bool](repeating: false, count: count * count)
    for (i, parent) in parents.enumerated() {
      if parent >= 0 {
        for j in 0...parent { isAncestor[i * count + j] = isAncestor[parent * count + j] }
      }
      isAncestor[i * count + i] = true
    }
    return isAncestor
  }
}

/// One verification step of speculative decoding: what to plan, and what else the step needs.
///
/// The draft tokens are the requests' new tokens, one after the other in the order of their trees;
/// their keys go to the slots after the committed ones'. Masked by `mask` in place of a causal mask
/// each row sees exactly its own path.
public struct SpeculationBatch: Sendable, Hashable {
  /// The trees, one for each request.
  public let trees: [SpeculationTree]
  /// The draft tokens as new tokens.
  public let batch: AttentionBatch
  /// For every request `draft tokens × tokens with keys`: the committed tokens, the ancestors and
  /// the token itself (FlashInfer's custom mask).
  public let mask: PackedMask
  /// For every request `draft tokens × draft tokens`: the ancestors and the token itself.
  public let ancestors: PackedMask
  /// The absolute position of each row along its path, committed tokens + depth: for rotations.
  public let positions: [Int]

  /// The step of a batch of trees.
  ///
  /// - Parameters:
  ///   - trees: One for each request; a request may have no draft tokens.
  ///   - pages: Each request's pages, with room for its draft tokens: the last of its tokens.
  public init(trees: [SpeculationTree], pages: PageTable) throws(SpeculationTree.Invalid) {
    guard trees.count == pages.requestCount else {
      throw .treeCount(expected: pages.requestCount, found: trees.count)
    }
    var offsets = [0]
    var positions: [Int] = []
    var whole: [PackedMask.Shape] = []
    var square: [PackedMask.Shape] = []
    for (r, tree) in trees.enumerated() {
      let length = Int(pages.kvLengths[r])
      guard tree.count <= length else {
        throw .kvLength(request: r, kvLength: length, draftTokens: tree.count)
      }
      offsets.append(offsets[r] + tree.count)
      positions += tree.depths.map { length - tree.count + $0 }
      whole.append(PackedMask.Shape(queries: tree.count, keys: length))
      square.append(PackedMask.Shape(queries: tree.count, keys: tree.count))
    }
    let isAncestor = trees.map(\.ancestors)
    do {
      ancestors = try PackedMask(isAncestor, shapes: square)
      mask = try PackedMask(shapes: whole) { r, query, key in
        let token = key - (whole[r].keys - trees[r].count)
        return token < 0 || isAncestor[r][query * trees[r].count + token]
      }
    } catch {
      throw .mask(error)
    }
    self.positions = positions
    self.trees = trees
    do {
      batch = try AttentionBatch(offsets: offsets, pages: pages)
    } catch {
      throw .batch(error)
    }
  }
}

extension SpeculationTree.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .parent(let token, let parent):
      "speculation tree: token \(token) has parent \(parent), expected -1 ..< \(token)"
    case .treeCount(let expected, let found):
      "speculation tree: \(expected) trees expected, one for each request, found \(found)"
    case .kvLength(let request, let length, let draft):
      "speculation tree: request \(request) has \(length) tokens with keys, fewer than its "
        + "\(draft) draft tokens"
    case .batch(let error): error.description
    case .mask(let error): error.description
    }
  }
}
