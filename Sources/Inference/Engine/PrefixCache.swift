package import Tokenizers

/// Pages by the tokens they hold and all tokens before them: a radix tree over token ids
/// (RadixAttention: arXiv 2312.07104, §3).
///
/// A node is a run of whole pages below its parent; siblings differ in their first page. The tree
/// is one holder of each of its pages (see ``PagePool``). Whoever holds a page holds all before it,
/// so the pages that only the tree holds are at the ends of its branches, and eviction takes them
/// from there, the longest unused first.
package struct PrefixCache: Sendable {
  private struct Node {
    var parent: Int
    var tokens: [TokenID] = []
    var pages: [Int32] = []
    /// By the tokens of the child's first page.
    var children: [[TokenID]: Int] = [:]
    // The list of nodes by last use.
    var older = PrefixCache.root
    var newer = PrefixCache.root
  }

  /// The node without pages; also the end of the list of nodes by use.
  private static let root = 0

  private let pageSize: Int
  private var nodes = [Node(parent: -1)]
  private var vacant: [Int] = []

  /// An empty cache.
  package init(pageSize: Int) { self.pageSize = pageSize }

  /// The pages that hold the longest beginning of `tokens` that the cache knows, whole pages only.
  ///
  /// - Parameter limit: The most tokens to find.
  package mutating func match(_ tokens: [TokenID], limit: Int) -> [Int32] {
    var found: [Int32] = []
    var node = Self.root
    while let child = child(of: node, tokens, at: found.count * pageSize, limit: limit) {
      let shared = sharedPages(of: child, tokens, at: found.count * pageSize, limit: limit)
      found += nodes[child].pages[..<shared]
      node = child
      if shared < nodes[child].pages.count { break }
    }
    touch(from: node)
    return found
  }

  /// Takes the pages of a sequence's beginning and returns the pages that the cache now has for it:
  /// the given ones, or others with the same tokens that it had before.
  ///
  /// - Parameters:
  ///   - tokens: As many as fill the pages.
  ///   - pages: Held by the caller, whose holds stay.
  package mutating func insert(
    _ tokens: ArraySlice<TokenID>, pages: ArraySlice<Int32>, into pool: inout PagePool
  ) -> [Int32] {
    let tokens = Array(tokens)
    var result: [Int32] = []
    var node = Self.root
    while let child = child(of: node, tokens, at: result.count * pageSize, limit: tokens.count) {
      let shared = sharedPages(
        of: child, tokens, at: result.count * pageSize, limit: tokens.count)
      result += nodes[child].pages[..<shared]
      node = child
      if shared < nodes[child].pages.count {
        if result.count < pages.count { split(child, at: shared) }
        break
      }
    }
    let rest = pages[(pages.startIndex + result.count)...]
    if !rest.isEmpty {
      let restTokens = tokens[(result.count * pageSize)...]
      for page in rest { pool.cache(page) }
      if node != Self.root, nodes[node].children.isEmpty {
        nodes[node].tokens += restTokens
        nodes[node].pages += rest
      } else {
        node = add(Node(parent: node, tokens: Array(restTokens), pages: Array(rest)))
      }
      result += rest
    }
    touch(from: node)
    return result
  }

  /// Gives up to `count` pages back that only the cache holds, those of the longest unused
  /// sequences first, from their ends.
  package mutating func evict(_ count: Int, from pool: inout PagePool) {
    var left = count
    var node = nodes[Self.root].newer
    while left > 0, node != Self.root {
      let next = nodes[node].newer
      while left > 0, nodes[node].children.isEmpty, let page = nodes[node].pages.last,
        pool.holderCount(page) == 1
      {
        pool.evict(page)
        nodes[node].pages.removeLast()
        nodes[node].tokens.removeLast(pageSize)
        left -= 1
        if nodes[node].pages.isEmpty { remove(node) }
      }
      node = next
    }
  }

  // MARK: - The tree

  private func child(of node: Int, _ tokens: [TokenID], at start: Int, limit: Int) -> Int? {
    guard start + pageSize <= limit, !nodes[node].children.isEmpty else { return nil }
    return nodes[node].children[Array(tokens[start..<start + pageSize])]
  }

  /// The pages of a node that hold the tokens from `start` on.
  private func sharedPages(of node: Int, _ tokens: [TokenID], at start: Int, limit: Int) -> Int {
    let most = min(nodes[node].tokens.count, limit - start) / pageSize
    var shared = 0
    while shared < most {
      let first = shared * pageSize
      for i in first..<first + pageSize where nodes[node].tokens[i] != tokens[start + i] {
        return shared
      }
      shared += 1
    }
    return shared
  }

  private mutating func add(_ node: Node) -> Int {
    let i = vacant.popLast() ?? nodes.count
    if i == nodes.count { nodes.append(node) } else { nodes[i] = node }
    nodes[node.parent].children[Array(node.tokens.prefix(pageSize))] = i
    link(i)
    return i
  }

  /// Leaves the first `count` pages to a node and gives the others to a new one below it.
  private mutating func split(_ node: Int, at count: Int) {
    var lower = nodes[node]
    lower.parent = node
    lower.tokens.removeFirst(count * pageSize)
    lower.pages.removeFirst(count)
    nodes[node].tokens.removeLast(lower.tokens.count)
    nodes[node].pages.removeLast(lower.pages.count)
    nodes[node].children = [:]
    let i = add(lower)
    for child in nodes[i].children.values { nodes[child].parent = i }
    // As old as the node was: the node itself is about to be used.
  }

  private mutating func remove(_ node: Int) {
    let parent = nodes[node].parent
    // The key went with the last page; the parent has few children.
    if let entry = nodes[parent].children.first(where: { $0.value == node }) {
      nodes[parent].children[entry.key] = nil
    }
    unlink(node)
    nodes[node] = Node(parent: -1)
    vacant.append(node)
  }

  // MARK: - Use

  /// Makes a node and those above it the last used, parents later than children.
  private mutating func touch(from node: Int) {
    var node = node
    while node != Self.root {
      unlink(node)
      link(node)
      node = nodes[node].parent
    }
  }

  private mutating func link(_ node: Int) {
    let last = nodes[Self.root].older
    nodes[node].older = last
    nodes[node].newer = Self.root
    nodes[last].newer = node
    nodes[Self.root].older = node
  }

  private mutating func unlink(_ node: Int) {
    let (older, newer) = (nodes[node].older, nodes[node].newer)
    nodes[older].newer = newer
    nodes[newer].older = older
  }

  // MARK: - Invariants

  /// All pages of the tree.
  package var pages: [Int32] { nodes.flatMap(\.pages) }

  /// What is wrong with the tree, if anything.
  package var inconsistency: String? {
    let live = nodes.indices.filter { $0 != Self.root && !vacant.contains($0) }
    for i in live {
      let node = nodes[i]
      if node.pages.isEmpty { return "node \(i) of the prefix tree has no pages" }
      if node.tokens.count != node.pages.count * pageSize {
        return "node \(i) has \(node.tokens.count) tokens in \(node.pages.count) pages"
      }
      if nodes[node.parent].children[Array(node.tokens.prefix(pageSize))] != i {
        return "node \(i) is not among the children of node \(node.parent)"
      }
    }
    let children = nodes.reduce(0) { $0 + $1.children.count }
    if children != live.count { return "\(live.count) nodes are \(children) children" }
    var listed: Set<Int> = []
    var node = nodes[Self.root].newer
    while node != Self.root, listed.insert(node).inserted { node = nodes[node].newer }
    if listed != Set(live) { return "\(listed.count) of \(live.count) nodes are listed by use" }
    if Set(pages).count != pages.count { return "two nodes of the prefix tree own one page" }
    return nil
  }
}
