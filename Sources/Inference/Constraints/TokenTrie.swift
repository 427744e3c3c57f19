public import Tokenizers

/// The tokens of a vocabulary that are text, as a trie over their bytes.
///
/// Made once for a tokenizer and shared by all its constraints. Nodes lie in preorder, so that a
/// walk reads memory forwards and leaves out a subtree by one jump. Control tokens and tokens of no
/// bytes are not in it: no constraint allows them, but for those that end a generation.
public struct TokenTrie: Sendable {
  /// The byte that leads to a node; node 0 is the root.
  let bytes: [UInt8]
  /// The number of bytes from the root.
  let depths: [Int32]
  /// The first node after a node's subtree.
  let ends: [Int32]
  /// The token that ends at a node: its id, −1 for none, or −2 − an index of `groups`.
  let tokens: [Int32]
  /// Tokens of the same bytes.
  let groups: [[TokenID]]
  /// The largest depth.
  let height: Int
  /// The number of ids of the vocabulary.
  let vocabularySize: Int
  /// The tokens that end a generation.
  let endOfGeneration: [TokenID]
  /// The bytes of every token, one after the other.
  private let pool: [UInt8]
  private let starts: [Int32]

  /// The trie of a tokenizer's text tokens.
  ///
  /// - Complexity: O(n log n) in the bytes of the vocabulary; some 20 ms for 50,000 tokens.
  public init(_ tokenizer: Tokenizer) {
    let count = tokenizer.vocabularySize
    let ends = tokenizer.endOfGeneration.filter { $0 >= 0 && Int($0) < count }
    self.init(count: count, endOfGeneration: ends.sorted()) { id in
      tokenizer.isSpecial(id) || ends.contains(id) ? [] : tokenizer.bytes(of: id)
    }
  }

  /// A trie of tokens with the bytes that a closure gives; none for tokens that are not text.
  init(count: Int, endOfGeneration: [TokenID], bytesOf: (TokenID) -> [UInt8]) {
    var pool: [UInt8] = []
    var starts: [Int32] = [0]
    for id in 0..<count {
      pool.append(contentsOf: bytesOf(TokenID(truncatingIfNeeded: id)))
      starts.append(Int32(truncatingIfNeeded: pool.count))
    }
    func spelling(_ id: TokenID) -> Range<Int> { Int(starts[Int(id)])..<Int(starts[Int(id) + 1]) }
    let ids = (0..<TokenID(truncatingIfNeeded: count)).filter { !spelling($0).isEmpty }
    let ordered = ids.sorted { a, b in
      let (x, y) = (spelling(a), spelling(b))
      var i = x.lowerBound
      var j = y.lowerBound
      while i < x.upperBound, j < y.upperBound {
        if pool[i] != pool[j] { return pool[i] < pool[j] }
        i += 1
        j += 1
      }
      return x.count != y.count ? x.count < y.count : a < b
    }
    var nodes = Nodes()
    var path: [Int32] = [0]
    var previous = 0..<0
    for id in ordered {
      let range = spelling(id)
      var common = 0
      while common < min(previous.count, range.count),
        pool[previous.lowerBound + common] == pool[range.lowerBound + common]
      { common += 1 }
      while path.count > common + 1 { nodes.close(path.removeLast()) }
      for i in common..<range.count {
        path.append(nodes.open(pool[range.lowerBound + i], depth: i + 1))
      }
      nodes.place(id, at: path[path.count - 1])
      previous = range
    }
    while let node = path.popLast() { nodes.close(node) }
    bytes = nodes.bytes
    depths = nodes.depths
    self.ends = nodes.ends
    tokens = nodes.tokens
    groups = nodes.groups
    height = Int(nodes.depths.max() ?? 0)
    vocabularySize = count
    self.endOfGeneration = endOfGeneration
    self.pool = pool
    self.starts = starts
  }

  /// The bytes of a text token; empty for any other id.
  func spelling(of id: TokenID) -> ArraySlice<UInt8> {
    guard id >= 0, Int(id) < vocabularySize else { return [] }
    return pool[Int(starts[Int(id)])..<Int(starts[Int(id) + 1])]
  }

  private struct Nodes {
    var bytes: [UInt8] = [0]
    var depths: [Int32] = [0]
    var ends: [Int32] = [0]
    var tokens: [Int32] = [-1]
    var groups: [[TokenID]] = []

    mutating func open(_ byte: UInt8, depth: Int) -> Int32 {
      bytes.append(byte)
      depths.append(Int32(truncatingIfNeeded: depth))
      ends.append(0)
      tokens.append(-1)
      return Int32(truncatingIfNeeded: bytes.count - 1)
    }

    mutating func close(_ node: Int32) {
      ends[Int(node)] = Int32(truncatingIfNeeded: bytes.count)
    }

    mutating func place(_ id: TokenID, at node: Int32) {
      let i = Int(node)
      switch tokens[i] {
      case -1: tokens[i] = id
      case let first where first >= 0:
        tokens[i] = Int32(truncatingIfNeeded: -2 - groups.count)
        groups.append([first, id])
      case let group: groups[Int(-2 - group)].append(id)
      }
    }
  }
}
