/// Trees as sequences, for a Transformer to learn (§6.3; Vinyals et al., arXiv 1412.7449).
///
/// A phrase becomes `(S … )S`, a word `XX`: `(S (NP XX XX )NP (VP XX )VP )S`. Words and parts of
/// speech are taken from the sentence when a sequence becomes a tree again.
public enum LinearizedTree {
  /// What stands for a word.
  public static let word = "XX"

  /// The symbols of a tree.
  public static func symbols(_ tree: ConstituencyTree) -> [String] {
    if tree.word != nil { return [word] }
    return ["(\(tree.label)"] + tree.children.flatMap(symbols) + [")\(tree.label)"]
  }

  /// Whether symbols are one whole tree over `wordCount` words: brackets match by label and all words
  /// are in it.
  public static func isWellFormed(_ symbols: [String], wordCount: Int) -> Bool {
    var open: [String] = []
    var words = 0
    for (i, symbol) in symbols.enumerated() {
      if i > 0, open.isEmpty { return false }
      if symbol == word {
        words += 1
        if open.isEmpty { return false }
      } else if symbol.hasPrefix("(") {
        open.append(String(symbol.dropFirst()))
      } else if symbol.hasPrefix(")") {
        guard open.popLast() == String(symbol.dropFirst()) else { return false }
      } else {
        return false
      }
    }
    return open.isEmpty && words == wordCount && wordCount > 0
  }

  /// The tree of symbols over a sentence.
  ///
  /// Symbols that are no tree are made one: a bracket that closes nothing is left out, open ones are
  /// closed at the end, missing words are added to the root and those too many left out.
  public static func tree(_ symbols: [String], over words: [String]) -> ConstituencyTree {
    var open = [ConstituencyTree(label: "", children: [])]
    var rest = words[...]
    func leaf() -> ConstituencyTree? {
      rest.popFirst().map { ConstituencyTree(label: word, word: $0) }
    }
    func close() {
      guard open.count > 1, let done = open.popLast() else { return }
      if !done.children.isEmpty { open[open.count - 1].children.append(done) }
    }
    for symbol in symbols {
      if symbol == word {
        if let leaf = leaf() { open[open.count - 1].children.append(leaf) }
      } else if symbol.hasPrefix("(") {
        open.append(ConstituencyTree(label: String(symbol.dropFirst()), children: []))
      } else if symbol.hasPrefix(")") {
        let label = symbol.dropFirst()
        if let depth = open.lastIndex(where: { $0.label == label }), depth > 0 {
          while open.count > depth { close() }
        }
      }
    }
    while open.count > 1 { close() }
    var root = open[0]
    while let leaf = leaf() { root.children.append(leaf) }
    if root.children.count == 1, root.children[0].word == nil { return root.children[0] }
    root.label = "S"
    return root
  }
}
