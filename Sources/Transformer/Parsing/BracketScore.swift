/// Labelled precision, recall and F1 of brackets by evalb's rules (Collins' parameters).
///
/// A phrase counts by its label and the words it spans; parts of speech and the root `TOP` do not
/// count, punctuation is left out of sentences and spans, and `PRT` is the same as `ADVP`.
public struct BracketScore: Sendable, Hashable {
  /// Brackets that both trees have.
  public private(set) var matched = 0
  /// Brackets of the parses.
  public private(set) var found = 0
  /// Brackets of the treebank.
  public private(set) var expected = 0
  /// Sentences whose brackets are all right.
  public private(set) var exact = 0
  /// Sentences.
  public private(set) var sentences = 0

  /// Nothing yet.
  public init() {}

  private static let punctuation: Set<String> = [",", ":", "``", "''", "."]
  private static let ignored: Set<String> = ["TOP", "S1", "ROOT", ""]

  private struct Bracket: Hashable {
    var label: String
    var words: Range<Int>
  }

  /// Adds a sentence; parts of speech of the treebank say what is punctuation.
  public mutating func add(parse: ConstituencyTree, gold: ConstituencyTree) {
    let isCounted = Self.tags(gold).map { !Self.punctuation.contains($0) }
    let (ours, theirs) = (
      Self.brackets(parse, isCounted), Self.brackets(gold, isCounted)
    )
    var rest: [Bracket: Int] = [:]
    for bracket in theirs { rest[bracket, default: 0] += 1 }
    var hits = 0
    for bracket in ours where rest[bracket, default: 0] > 0 {
      rest[bracket, default: 0] -= 1
      hits += 1
    }
    matched += hits
    found += ours.count
    expected += theirs.count
    sentences += 1
    if hits == ours.count, hits == theirs.count { exact += 1 }
  }

  private static func tags(_ tree: ConstituencyTree) -> [String] {
    tree.word != nil ? [tree.label] : tree.children.flatMap(tags)
  }

  private static func brackets(_ tree: ConstituencyTree, _ isCounted: [Bool]) -> [Bracket] {
    var result: [Bracket] = []
    var (place, counted) = (0, 0)
    func visit(_ tree: ConstituencyTree) {
      if tree.word != nil {
        if place >= isCounted.count || isCounted[place] { counted += 1 }
        place += 1
        return
      }
      let first = counted
      for child in tree.children { visit(child) }
      guard counted > first, !ignored.contains(tree.label) else { return }
      result.append(
        Bracket(label: tree.label == "PRT" ? "ADVP" : tree.label, words: first..<counted))
    }
    visit(tree)
    return result
  }

  /// Matched of found brackets, 0 to 100.
  public var precision: Double { found > 0 ? 100 * Double(matched) / Double(found) : 0 }
  /// Matched of expected brackets, 0 to 100.
  public var recall: Double { expected > 0 ? 100 * Double(matched) / Double(expected) : 0 }
  /// Their harmonic mean.
  public var f1: Double {
    precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0
  }
}
