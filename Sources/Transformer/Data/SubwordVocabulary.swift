import Foundation

/// A joint byte-pair vocabulary: merges, and tokens by number.
///
/// On disk it is two text files: `bpe.codes` as subword-nmt writes it, and `vocabulary.txt` with a
/// token on each line.
public struct SubwordVocabulary: Sendable {
  /// What no token stands for.
  public static let unknown: Int32 = 0
  /// What a target begins with.
  public static let start: Int32 = 1
  /// What a sentence ends with.
  public static let end: Int32 = 2

  /// The merges, in the order in which they were learnt.
  public let merges: [(left: String, right: String)]
  /// The tokens by number; the first three are `<unk>`, `<s>` and `</s>`.
  public let tokens: [String]
  private let ids: [String: Int32]
  private let ranks: [String: Int]

  /// Why files are no vocabulary.
  public enum Failure: Error, Hashable, CustomStringConvertible {
    /// A line is not what it must be.
    case line(path: String, number: Int, expected: String)
    /// The file is not there or is not UTF-8.
    case unreadable(path: String)

    /// What is wrong, where, and what was expected.
    public var description: String {
      switch self {
      case .line(let path, let number, let expected): "\(path):\(number): expected \(expected)"
      case .unreadable(let path): "\(path): cannot be read as UTF-8 text"
      }
    }
  }

  private static let special = ["<unk>", "<s>", "</s>"]

  /// Learns a vocabulary from sentences of all languages together.
  ///
  /// - Parameters:
  ///   - sentences: The text.
  ///   - mergeCount: The most merges.
  ///   - symbols: What is a token of its own beside the text's, as brackets of trees.
  public init(
    learning sentences: some Sequence<String>, mergeCount: Int, symbols: [String] = []
  ) {
    let words = Self.count(sentences)
    let merges = BytePairLearner.merges(of: words, count: mergeCount)
    var characters: Set<String> = []
    for word in words.keys { characters.formUnion(BytePairLearner.characters(of: word)) }
    var seen: Set<String> = []
    let all =
      Self.special + symbols.map(Self.token)
      + characters.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
      + merges.map { $0.left + $0.right }
    let tokens = all.filter { seen.insert($0).inserted }
    self.init(merges: merges, tokens: tokens)
  }

  private init(merges: [(left: String, right: String)], tokens: [String]) {
    self.merges = merges
    self.tokens = tokens
    ids = Dictionary(
      zip(tokens, tokens.indices.map(Int32.init)), uniquingKeysWith: { first, _ in first })
    ranks = Dictionary(
      zip(merges.map { "\($0.left) \($0.right)" }, merges.indices),
      uniquingKeysWith: { first, _ in first })
  }

  /// How often each word occurs.
  public static func count(_ sentences: some Sequence<String>) -> [String: Int] {
    var words: [String: Int] = [:]
    for sentence in sentences {
      for word in WordSplitter.words(sentence) { words[word, default: 0] += 1 }
    }
    return words
  }

  /// The pieces of a word after all merges.
  func pieces(of word: String) -> [String] {
    var pieces = BytePairLearner.characters(of: word)
    while pieces.count > 1 {
      var best: (rank: Int, place: Int)?
      for i in 0..<pieces.count - 1 {
        guard let rank = ranks["\(pieces[i]) \(pieces[i + 1])"], rank < best?.rank ?? Int.max
        else { continue }
        best = (rank, i)
      }
      guard let (rank, _) = best else { break }
      let (left, right) = merges[rank]
      var merged: [String] = []
      var i = 0
      while i < pieces.count {
        if i + 1 < pieces.count, pieces[i] == left, pieces[i + 1] == right {
          merged.append(left + right)
          i += 2
        } else {
          merged.append(pieces[i])
          i += 1
        }
      }
      pieces = merged
    }
    return pieces
  }

  /// The tokens of sentences; a word met before is not merged again.
  public func encode(_ sentences: some Sequence<String>) -> [[Int32]] {
    var known: [String: [Int32]] = [:]
    return sentences.map { sentence in
      WordSplitter.words(sentence).flatMap { word in
        if let found = known[word] { return found }
        let found = pieces(of: word).map { ids[$0] ?? Self.unknown }
        known[word] = found
        return found
      }
    }
  }

  /// The tokens of a sentence.
  public func encode(_ sentence: String) -> [Int32] { encode([sentence])[0] }

  /// A symbol's token: text's tokens never have brackets beside other characters.
  private static func token(_ symbol: String) -> String { "<\(symbol)>" }

  /// The tokens of symbols.
  public func encode(symbols: [String]) -> [Int32] {
    symbols.map { ids[Self.token($0)] ?? Self.unknown }
  }

  /// The symbols of tokens; text's tokens are left out.
  public func symbols(_ ids: some Sequence<Int32>) -> [String] {
    ids.compactMap { id in
      guard id > Self.end, tokens.indices.contains(Int(id)) else { return nil }
      let token = tokens[Int(id)]
      guard token.count > 2, token.first == "<", token.last == ">" else { return nil }
      return String(token.dropFirst().dropLast())
    }
  }

  /// The text of tokens; start and end say nothing, an unknown token is U+FFFD.
  public func decode(_ ids: some Sequence<Int32>) -> String {
    var joined = ""
    for id in ids where id != Self.start && id != Self.end {
      guard id != Self.unknown, tokens.indices.contains(Int(id)) else {
        joined += "\u{FFFD}"
        continue
      }
      let token = tokens[Int(id)]
      joined +=
        token.hasSuffix(BytePairLearner.endOfWord)
        ? String(token.dropLast(BytePairLearner.endOfWord.count)) : token
    }
    return WordSplitter.text(joined)
  }

  /// Reads `bpe.codes` and `vocabulary.txt` of a folder.
  public init(folder: String) throws(Failure) {
    let codes = "\(folder)/bpe.codes"
    var merges: [(left: String, right: String)] = []
    for (i, line) in try Self.lines(codes).enumerated() where !(i == 0 && line.hasPrefix("#")) {
      let parts = line.split(separator: " ", omittingEmptySubsequences: false)
      guard parts.count == 2 else {
        throw .line(path: codes, number: i + 1, expected: "two symbols")
      }
      merges.append((String(parts[0]), String(parts[1])))
    }
    let path = "\(folder)/vocabulary.txt"
    let tokens = try Self.lines(path)
    for (i, name) in Self.special.enumerated() where tokens.count <= i || tokens[i] != name {
      throw .line(path: path, number: i + 1, expected: name)
    }
    self.init(merges: merges, tokens: tokens)
  }

  private static func lines(_ path: String) throws(Failure) -> [String] {
    guard let data = FileManager.default.contents(atPath: path),
      let text = String(validating: data, as: UTF8.self)
    else { throw .unreadable(path: path) }
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    if lines.last == "" { lines.removeLast() }
    return lines
  }

  /// Writes `bpe.codes` and `vocabulary.txt` into a folder.
  public func save(folder: String) throws {
    let codes = ["#version: 0.2"] + merges.map { "\($0.left) \($0.right)" }
    for (name, lines) in [("bpe.codes", codes), ("vocabulary.txt", tokens)] {
      try (lines.joined(separator: "\n") + "\n").write(
        toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
    }
  }
}
