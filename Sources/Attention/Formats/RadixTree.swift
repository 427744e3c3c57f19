/// Token sequences that share prefixes, as a tree whose nodes own runs of pages.
///
/// The path from a root to a node spells a sequence; its pages, one node's after the other's, are
/// the sequence's page table. What is evicted and when is the owner's business (`Inference`): this
/// is the shape that a batch is made from.
public struct RadixTree: Sendable, Hashable {
  /// A run of tokens below a parent.
  public struct Node: Sendable, Hashable {
    /// The node before it; `nil` for the beginning of a sequence.
    public var parent: Int?
    /// The tokens that this node adds, at least one.
    public var tokens: [Int32]
    /// The pages that hold them.
    public var pages: [Int]

    /// A node.
    public init(parent: Int?, tokens: [Int32], pages: [Int]) {
      self.parent = parent
      self.tokens = tokens
      self.pages = pages
    }
  }

  /// Nodes, parents before their children.
  public let nodes: [Node]
  /// Tokens of a page.
  public let pageSize: Int
  /// The number of tokens up to and with each node.
  private let lengths: [Int]
  /// The children of each node and, last, of no node.
  private let children: [[Int]]

  /// What is wrong with a tree.
  public enum Invalid: Error, Hashable {
    /// The page size is not positive.
    case pageSize(Int)
    /// A node's parent is not one of the nodes before it.
    case parent(node: Int, Int)
    /// A node has no tokens.
    case empty(node: Int)
    /// A node's pages do not hold its tokens exactly.
    case pageCount(node: Int, expected: Int, found: Int)
    /// A node with children ends inside a page.
    case unaligned(node: Int, tokens: Int, pageSize: Int)
    /// A page is negative.
    case negativePage(node: Int, page: Int)
    /// Two nodes own the same page.
    case sharedPage(Int, nodes: [Int])
    /// Two children of a node begin with the same page of tokens, which belongs into their parent.
    case siblings(Int, Int)
    /// There is no such node.
    case node(Int, count: Int)
    /// The tree does not make a page table.
    case pageTable(PageTable.Invalid)
  }

  /// Checks and takes a tree.
  ///
  /// - Parameters:
  ///   - nodes: Parents before their children. A node with children has whole pages.
  ///   - pageSize: Tokens of a page, at least 1.
  public init(nodes: [Node], pageSize: Int) throws(Invalid) {
    guard pageSize > 0 else { throw .pageSize(pageSize) }
    var lengths: [Int] = []
    var children = [[Int]](repeating: [], count: nodes.count + 1)
    var owners: [Int: Int] = [:]
    for (i, node) in nodes.enumerated() {
      guard !node.tokens.isEmpty else { throw .empty(node: i) }
      let expected = (node.tokens.count + pageSize - 1) / pageSize
      guard node.pages.count == expected else {
        throw .pageCount(node: i, expected: expected, found: node.pages.count)
      }
      for page in node.pages {
        guard page >= 0 else { throw .negativePage(node: i, page: page) }
        if let owner = owners.updateValue(i, forKey: page) {
          throw .sharedPage(page, nodes: [owner, i])
        }
      }
      guard let parent = node.parent else {
        children[nodes.count].append(i)
        lengths.append(node.tokens.count)
        continue
      }
      guard (0..<i).contains(parent) else { throw .parent(node: i, parent) }
      guard nodes[parent].tokens.count % pageSize == 0 else {
        throw .unaligned(node: parent, tokens: nodes[parent].tokens.count, pageSize: pageSize)
      }
      children[parent].append(i)
      lengths.append(lengths[parent] + node.tokens.count)
    }
    for siblings in children {
      var first: [ArraySlice<Int32>: Int] = [:]
      for node in siblings where nodes[node].tokens.count >= pageSize {
        if let other = first.updateValue(node, forKey: nodes[node].tokens.prefix(pageSize)) {
          throw .siblings(other, node)
        }
      }
    }
    self.nodes = nodes
    self.pageSize = pageSize
    self.lengths = lengths
    self.children = children
  }

  /// The number of tokens up to and with a node.
  public func length(of node: Int) throws(Invalid) -> Int {
    try check(node)
    return lengths[node]
  }

  /// The nodes from the beginning of the sequence to `node`.
  public func path(to node: Int) throws(Invalid) -> [Int] {
    try check(node)
    var path: [Int] = []
    var next: Int? = node
    while let i = next {
      path.append(i)
      next = nodes[i].parent
    }
    return path.reversed()
  }

  /// The deepest node whose whole sequence is a prefix of `tokens`, and the number of tokens up to
  /// and with the last whole page that the tree shares with them, whether a node ends there or not.
  public func longestPrefix(of tokens: [Int32]) -> (node: Int?, count: Int) {
    var (node, count): (Int?, Int) = (nil, 0)
    while true {
      let rest = tokens[count...]
      var best: (child: Int, shared: Int, isWhole: Bool)?
      for child in children[node ?? nodes.count] {
        var shared = zip(nodes[child].tokens, rest).prefix { $0 == $1 }.count
        let isWhole = shared == nodes[child].tokens.count
        if !isWhole { shared -= shared % pageSize }
        if shared > best?.shared ?? 0 { best = (child, shared, isWhole) }
      }
      guard let best else { return (node, count) }
      count += best.shared
      guard best.isWhole else { return (node, count) }
      node = best.child
    }
  }

  /// The page table of a batch whose requests are paths to `leaves`; any node may be a leaf.
  public func pageTable(leaves: [Int]) throws(Invalid) -> PageTable {
    var requests: [(pages: [Int], kvLength: Int)] = []
    for leaf in leaves {
      let pages = try path(to: leaf).flatMap { nodes[$0].pages }
      requests.append((pages, lengths[leaf]))
    }
    do {
      return try PageTable(requests: requests, pageSize: pageSize)
    } catch {
      throw .pageTable(error)
    }
  }

  private func check(_ node: Int) throws(Invalid) {
    guard nodes.indices.contains(node) else { throw .node(node, count: nodes.count) }
  }
}

extension RadixTree.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .pageSize(let size): "radix tree: page size \(size), expected at least 1"
    case .parent(let node, let parent):
      "radix tree: node \(node) has parent \(parent), expected a node before it"
    case .empty(let node): "radix tree: node \(node) has no tokens"
    case .pageCount(let node, let expected, let found):
      "radix tree: node \(node) needs \(expected) pages, found \(found)"
    case .unaligned(let node, let tokens, let pageSize):
      "radix tree: node \(node) has children but \(tokens) tokens, no multiple of the page size "
        + "\(pageSize)"
    case .negativePage(let node, let page): "radix tree: node \(node) names page \(page)"
    case .sharedPage(let page, let nodes):
      "radix tree: page \(page) belongs to nodes \(nodes.map(String.init).joined(separator: ", "))"
    case .siblings(let a, let b):
      "radix tree: siblings \(a) and \(b) begin with the same page of tokens"
    case .node(let node, let count): "radix tree: node \(node) is outside 0 ..< \(count)"
    case .pageTable(let error): error.description
    }
  }
}
