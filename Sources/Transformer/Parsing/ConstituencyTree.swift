/// A constituency tree as treebanks write it: `(S (NP (DT The) (NN dog)) (VP (VBZ barks)))`.
public struct ConstituencyTree: Sendable, Hashable {
  /// The label of a phrase, or a word's part of speech.
  public var label: String
  /// The word, where this is a leaf.
  public var word: String?
  /// The parts of a phrase.
  public var children: [ConstituencyTree]

  /// A word and its part of speech.
  public init(label: String, word: String) {
    self.label = label
    self.word = word
    children = []
  }

  /// A phrase.
  public init(label: String, children: [ConstituencyTree]) {
    self.label = label
    self.children = children
  }

  /// Why text is no tree.
  public struct Malformed: Error, Hashable, CustomStringConvertible {
    /// The place in the text, in bytes.
    public let offset: Int
    /// What was expected there.
    public let expected: String

    /// What is wrong, where, and what was expected.
    public var description: String { "tree: byte \(offset): expected \(expected)" }
  }

  /// The deepest nesting that is read.
  public static let maximumDepth = 500

  /// Reads all trees of a bracketed treebank; an outer pair of brackets without a label is taken off.
  public static func read(_ text: String) throws(Malformed) -> [ConstituencyTree] {
    var reader = Reader(bytes: Array(text.utf8))
    var trees: [ConstituencyTree] = []
    while reader.skipsToBracket() {
      let tree = try reader.tree(depth: 0)
      if tree.label.isEmpty { trees += tree.children } else { trees.append(tree) }
    }
    try reader.end()
    return trees
  }

  private struct Reader {
    let bytes: [UInt8]
    var offset = 0

    private static let (open, close) = (UInt8(ascii: "("), UInt8(ascii: ")"))

    private var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }

    mutating func skipSpace() {
      while let byte = current, Self.isSpace(byte) { offset += 1 }
    }

    mutating func skipsToBracket() -> Bool {
      skipSpace()
      return current == Self.open
    }

    func end() throws(Malformed) {
      if offset < bytes.count { throw Malformed(offset: offset, expected: "(") }
    }

    private mutating func token() -> String {
      let first = offset
      while let byte = current, !Self.isSpace(byte), byte != Self.open, byte != Self.close {
        offset += 1
      }
      return String(decoding: bytes[first..<offset], as: UTF8.self)
    }

    mutating func tree(depth: Int) throws(Malformed) -> ConstituencyTree {
      guard depth < ConstituencyTree.maximumDepth else {
        throw Malformed(
          offset: offset, expected: "at most \(ConstituencyTree.maximumDepth) levels")
      }
      offset += 1
      skipSpace()
      let label = token()
      skipSpace()
      if let byte = current, byte != Self.open, byte != Self.close {
        let word = token()
        skipSpace()
        guard current == Self.close else { throw Malformed(offset: offset, expected: ")") }
        offset += 1
        return ConstituencyTree(label: label, word: word)
      }
      var children: [ConstituencyTree] = []
      while skipsToBracket() { children.append(try tree(depth: depth + 1)) }
      guard current == Self.close else { throw Malformed(offset: offset, expected: "( or )") }
      offset += 1
      return ConstituencyTree(label: label, children: children)
    }
  }

  /// The bracketed form.
  public var bracketed: String {
    if let word { return "(\(label) \(word))" }
    return "(\(([label] + children.map(\.bracketed)).joined(separator: " ")))"
  }

  /// The words, from left to right.
  public var words: [String] { word.map { [$0] } ?? children.flatMap(\.words) }

  /// The tree without traces (`-NONE-`) and what they leave empty, and without functions in labels
  /// (`NP-SBJ` becomes `NP`); `nil` where nothing is left.
  public var simplified: ConstituencyTree? {
    if let word {
      return label == "-NONE-" ? nil : ConstituencyTree(label: label, word: word)
    }
    let parts = children.compactMap(\.simplified)
    guard !parts.isEmpty else { return nil }
    let plain = label.first == "-" ? Substring(label) : label.prefix { $0 != "-" && $0 != "=" }
    return ConstituencyTree(label: String(plain), children: parts)
  }
}
