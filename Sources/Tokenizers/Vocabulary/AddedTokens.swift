/// Tokens that are looked for in the text itself, before any splitting: control tokens where they
/// may be parsed, and user-defined tokens everywhere.
struct AddedTokens: Sendable {
  /// How a match treats its surroundings; from `tokenizer.json`.
  struct Manners: Sendable, Equatable {
    var stripsLeft = false
    var stripsRight = false
    var wholeWordsOnly = false
  }

  struct Match {
    var id: TokenID
    var range: Range<Int>
  }

  static let longestSpelling = 1024

  private var spellings: SortedPieces
  private var isSpecial: Set<TokenID>
  private var manners: [TokenID: Manners]

  init(_ vocabulary: Vocabulary, manners: [TokenID: Manners] = [:]) {
    var ids: [TokenID] = []
    isSpecial = []
    self.manners = manners
    for (index, kind) in vocabulary.kinds.enumerated() {
      let id = TokenID(truncatingIfNeeded: index)
      switch kind {
      case .control, .unknown:
        isSpecial.insert(id)
        ids.append(id)
      case .userDefined: ids.append(id)
      case .normal, .unused, .byte: break
      }
    }
    spellings = SortedPieces(ids, of: vocabulary.pieces)
  }

  /// The next match at or after `start`: the leftmost, and the longest of those.
  ///
  /// A special token matches only where the whole of it lies in a range that `allows` accepts.
  func next(
    in bytes: [UInt8], from start: Int, allows: (Range<Int>) -> Bool
  ) -> Match? {
    if spellings.isEmpty { return nil }
    var i = start
    while i < bytes.count {
      var best: Match?
      spellings.forEachPrefix(of: bytes, at: i, end: bytes.count) { id, end in
        let match = Match(id: id, range: i..<end)
        if isSpecial.contains(id), !allows(match.range) { return }
        if let rule = manners[id], rule.wholeWordsOnly, !isWhole(bytes, match.range) { return }
        best = match
      }
      if let best { return best }
      i += 1
    }
    return nil
  }

  /// A match widened over the white space it swallows.
  func widened(_ match: Match, in bytes: [UInt8], from start: Int) -> Range<Int> {
    guard let rule = manners[match.id] else { return match.range }
    var low = match.range.lowerBound
    var high = match.range.upperBound
    if rule.stripsLeft {
      while low > start, Self.isSpace(bytes[low - 1]) { low -= 1 }
    }
    if rule.stripsRight {
      while high < bytes.count, Self.isSpace(bytes[high]) { high += 1 }
    }
    return low..<high
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (9...13).contains(byte) }

  private func isWhole(_ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    func isWord(_ byte: UInt8) -> Bool {
      byte >= 0x80 || byte == 0x5f || (0x30...0x39).contains(byte)
        || (0x61...0x7a).contains(byte | 0x20)
    }
    if range.lowerBound > 0, isWord(bytes[range.lowerBound - 1]) { return false }
    return range.upperBound == bytes.count || !isWord(bytes[range.upperBound])
  }
}
