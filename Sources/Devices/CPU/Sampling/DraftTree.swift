/// Tokens that a draft proposes to follow a sequence: a tree, of which a chain is the plainest.
///
/// Node 0 is the root, the sequence's last token; every other node is a candidate to follow its
/// parent. Siblings are tried in the order of their numbers.
public struct DraftTree: Sendable, Hashable {
  /// The parent of every node, a lower number; the root's is −1.
  public let parents: [Int]

  /// The token of every node; the root's is not looked at.
  public let tokens: [Int]

  /// What is wrong with a tree.
  public enum Invalid: Error, Hashable {
    /// There are not as many tokens as parents, or there is no root.
    case nodeCount(parents: Int, tokens: Int)
    /// A node's parent is not a lower number, or the root's is not −1.
    case parent(node: Int, found: Int)
  }

  /// Checks and takes a tree.
  public init(parents: [Int], tokens: [Int]) throws(Invalid) {
    guard !parents.isEmpty, parents.count == tokens.count else {
      throw .nodeCount(parents: parents.count, tokens: tokens.count)
    }
    for (node, parent) in parents.enumerated() {
      guard node == 0 ? parent == -1 : (0..<node).contains(parent) else {
        throw .parent(node: node, found: parent)
      }
    }
    self.parents = parents
    self.tokens = tokens
  }

  /// A chain of tokens, each to follow the one before it.
  public init(chain tokens: [Int]) {
    parents = Array(-1..<tokens.count)
    self.tokens = [-1] + tokens
  }

  /// The number of nodes, the root among them.
  public var count: Int { parents.count }

  /// The candidates to follow a node, in order.
  func children(of node: Int) -> [Int] { (node + 1..<count).filter { parents[$0] == node } }
}

extension DraftTree.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .nodeCount(let parents, let tokens):
      "draft tree: \(parents) parents and \(tokens) tokens; expected as many of both, at least 1"
    case .parent(let node, let found):
      "draft tree: the parent of node \(node) is \(found); expected "
        + (node == 0 ? "−1" : "0 to \(node - 1)")
    }
  }
}

/// How the candidates to follow a token were chosen.
public enum DraftChoice: Sendable, Hashable {
  /// Drawn from the draft's distribution, siblings independently of each other (SpecInfer,
  /// arXiv 2305.09781).
  case independent
  /// Drawn from the draft's distribution one after another, none twice (recursive rejection
  /// sampling, arXiv 2402.14160).
  case distinct
  /// Without chance: the most probable ones, or found in the text (prompt lookup). There are no
  /// draft probabilities.
  case given
}

/// What became of a request's draft.
public struct SpeculativeSample: Sendable, Hashable {
  /// The accepted nodes of the tree, from the root's child on.
  public var accepted: [Int]
  /// The accepted nodes' tokens, and one more that the target chose.
  ///
  /// Where a row of the target has no positive probability, that one is missing.
  public var tokens: [Int]

  /// A result of the given parts.
  public init(accepted: [Int], tokens: [Int]) {
    self.accepted = accepted
    self.tokens = tokens
  }
}
