/// One step of pre-tokenization: cuts a run of characters into words that later merges never cross.
///
/// The published pre-tokenizers are regular expressions; these are the same languages written by
/// hand, so that nothing backtracks and every character costs a bounded amount of work.
enum Splitter: Sendable, Equatable {
  /// GPT-2: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
  case gpt2
  /// The family of `cl100k`: Llama 3, Qwen2 and kin.
  case words(WordRules)
  /// The family of `o200k`, where a change of case ends a word: GPT-4o, Tekken.
  case casedWords(CasedWordRules)
  /// DeepSeek V3's main expression.
  case deepSeekWords
  /// Runs of the characters of a set; what lies between stays whole.
  case runs(CharacterSet)
  /// A run of a set, at most `limit` characters at a time.
  case groups(CharacterSet, limit: Int)
  /// Exactly `length` characters of a set; shorter remainders stay whole.
  case exact(CharacterSet, length: Int)
  /// One optional white-space character, then a run of a set.
  case spacedRuns(CharacterSet)
  /// One optional U+0020, then a run of a set.
  case blankRuns(CharacterSet)
  /// Before U+2581, unless it follows itself or one of a set.
  case beforeEscapedSpaces(notAfter: CharacterSet)
  /// Before every occurrence of a character.
  case beforeEach(UInt32)
  /// After every occurrence of a character.
  case afterEach(UInt32)
  /// White space at the very end of the piece: `\s+$`.
  case trailingSpace
  /// BERT: white space is dropped, punctuation stands alone.
  case dropping(CharacterSet)

  /// Calls `body` with consecutive ranges that cover `range`, except for dropped characters.
  func split(_ text: ScalarText, _ range: Range<Int>, _ body: (Range<Int>) -> Void) {
    if case .trailingSpace = self {
      var start = range.upperBound
      while start > range.lowerBound, text.classes[start - 1].contains(.space) { start -= 1 }
      if start > range.lowerBound { body(range.lowerBound..<start) }
      if start < range.upperBound { body(start..<range.upperBound) }
      return
    }
    var gap = range.lowerBound
    var i = range.lowerBound
    while i < range.upperBound {
      let end = matchEnd(text, i, range.upperBound)
      if end == i {
        i += 1
        continue
      }
      if gap < i { body(gap..<i) }
      if case .dropping = self {} else { body(i..<end) }
      gap = end
      i = end
    }
    if gap < range.upperBound { body(gap..<range.upperBound) }
  }

  /// Where the match that begins at `i` ends, or `i` if none begins there.
  private func matchEnd(_ text: ScalarText, _ i: Int, _ end: Int) -> Int {
    switch self {
    case .gpt2: return text.gpt2Word(i, end)
    case .words(let rules): return text.word(i, end, rules)
    case .casedWords(let rules): return text.casedWord(i, end, rules)
    case .deepSeekWords: return text.deepSeekWord(i, end)
    case .runs(let set), .dropping(let set): return text.run(i, end, set)
    case .groups(let set, let limit): return text.run(i, min(end, i + limit), set)
    case .exact(let set, let length):
      guard length <= end - i else { return i }
      return text.run(i, i + length, set) == i + length ? i + length : i
    case .spacedRuns(let set):
      if text.classes[i].contains(.space), i + 1 < end {
        let stop = text.run(i + 1, end, set)
        if stop > i + 1 { return stop }
      }
      return text.run(i, end, set)
    case .blankRuns(let set):
      let start = text.values[i] == 0x20 ? i + 1 : i
      let stop = text.run(start, end, set)
      return stop > start ? stop : i
    case .beforeEscapedSpaces(let glue):
      var j = i + 1
      while j < end {
        if text.values[j] == 0x2581, text.values[j - 1] != 0x2581,
          !glue.contains(text.values[j - 1], [])
        {
          break
        }
        j += 1
      }
      return j
    case .beforeEach(let value):
      var j = i + 1
      while j < end, text.values[j] != value { j += 1 }
      return j
    case .afterEach(let value):
      var j = i
      while j < end, text.values[j] != value { j += 1 }
      return min(j + 1, end)
    case .trailingSpace: return i
    }
  }
}
