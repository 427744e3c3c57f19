/// The variations of the `cl100k` expression.
///
/// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|`
/// `\s*[\r\n]+|\s+(?!\S)|\s+`
struct WordRules: Sendable, Equatable {
  /// English contractions are cut off, in any case.
  var contractions = true
  /// The longest run of digits in one word.
  var digits = 3
  /// Combining marks belong to words instead of to punctuation.
  var marksJoinWords = false
  /// Line breaks after punctuation belong to it.
  var breaksJoinPunctuation = true

  static let llama3 = WordRules()
  static let qwen2 = WordRules(digits: 1)
}

/// The variations of the `o200k` expression.
///
/// `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|…)?|`
/// `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|…)?|`
/// `\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
struct CasedWordRules: Sendable, Equatable {
  var contractions = true
  var digits = 3
}

extension ScalarText {
  func gpt2Word(_ i: Int, _ end: Int) -> Int {
    let cut = contraction(i, end, anyCase: false)
    if cut > i { return cut }
    let start = values[i] == 0x20 && i + 1 < end ? i + 1 : i
    let first = classes[start]
    if first.contains(.letter) { return run(start, end, of: .letter) }
    if first.contains(.number) { return run(start, end, of: .number) }
    if !first.contains(.space) { return run(start, end, notOf: [.space, .letter, .number]) }
    return spacesBeforeWord(i, end)
  }

  func word(_ i: Int, _ end: Int, _ rules: WordRules) -> Int {
    if rules.contractions {
      let cut = contraction(i, end, anyCase: true)
      if cut > i { return cut }
    }
    let word: ScalarClass = rules.marksJoinWords ? [.letter, .mark] : .letter
    let here = classes[i]
    if here.isDisjoint(with: [.letter, .number]), !isLineBreak(i), i + 1 < end,
      classes[i + 1].isAny(of: word)
    {
      return run(i + 1, end, of: word)
    }
    if here.isAny(of: word) { return run(i, end, of: word) }
    if here.contains(.number) { return run(i, min(end, i + rules.digits), of: .number) }
    let notPunctuation: ScalarClass = word.union([.space, .number])
    let start = values[i] == 0x20 && i + 1 < end ? i + 1 : i
    if classes[start].isDisjoint(with: notPunctuation) {
      let stop = run(start, end, notOf: notPunctuation)
      return rules.breaksJoinPunctuation ? lineBreaks(stop, end) : stop
    }
    let broken = spacesThroughLineBreak(i, end)
    return broken > i ? broken : spacesBeforeWord(i, end)
  }

  func casedWord(_ i: Int, _ end: Int, _ rules: CasedWordRules) -> Int {
    let here = classes[i]
    let mayLead = here.isDisjoint(with: [.letter, .number]) && !isLineBreak(i)
    for start in mayLead && i + 1 < end ? [i + 1, i] : [i] {
      let stop = upperThenLower(start, end, lowerRequired: true)
      if stop > start { return closing(stop, end, rules) }
    }
    for start in mayLead && i + 1 < end ? [i + 1, i] : [i] {
      let stop = upperThenLower(start, end, lowerRequired: false)
      if stop > start { return closing(stop, end, rules) }
    }
    if here.contains(.number) { return run(i, min(end, i + rules.digits), of: .number) }
    let start = values[i] == 0x20 && i + 1 < end ? i + 1 : i
    if classes[start].isDisjoint(with: [.space, .letter, .number]) {
      let stop = run(start, end, notOf: [.space, .letter, .number])
      return lineBreaks(stop, end, orSlash: true)
    }
    let broken = spacesThroughLineBreak(i, end)
    return broken > i ? broken : spacesBeforeWord(i, end)
  }

  private func closing(_ i: Int, _ end: Int, _ rules: CasedWordRules) -> Int {
    rules.contractions && i < end ? contraction(i, end, anyCase: true) : i
  }

  private func isUpperish(_ i: Int) -> Bool {
    classes[i].isAny(of: [.letter, .mark]) && !classes[i].contains(.lower)
  }

  private func isLowerish(_ i: Int) -> Bool {
    classes[i].isAny(of: [.letter, .mark]) && !classes[i].contains(.upper)
  }

  /// `U*L+` or, if no lower-case letter is required, `U+L*`; caseless letters are in both classes.
  private func upperThenLower(_ i: Int, _ end: Int, lowerRequired: Bool) -> Int {
    var j = i
    while j < end, isUpperish(j) { j += 1 }
    if lowerRequired, j == end || !isLowerish(j) {
      // Give back capitals until a caseless letter can play the lower-case part.
      while j > i, !isLowerish(j - 1) { j -= 1 }
      return j
    }
    if !lowerRequired, j == i { return i }
    while j < end, isLowerish(j) { j += 1 }
    return j
  }

  /// DeepSeek V3.
  ///
  /// ``[!-/:-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|``
  /// ``\s+(?!\S)|\s+``
  func deepSeekWord(_ i: Int, _ end: Int) -> Int {
    func isASCIILetter(_ k: Int) -> Bool { (0x61...0x7a).contains(values[k] | 0x20) }
    let here = classes[i]
    if values[i] < 0x80, here.isAny(of: [.punctuation, .symbol]), i + 1 < end,
      isASCIILetter(i + 1)
    {
      var j = i + 1
      while j < end, isASCIILetter(j) { j += 1 }
      return j
    }
    let word: ScalarClass = [.letter, .mark]
    if here.isDisjoint(with: [.letter, .punctuation, .symbol]), !isLineBreak(i), i + 1 < end,
      classes[i + 1].isAny(of: word)
    {
      return run(i + 1, end, of: word)
    }
    if here.isAny(of: word) { return run(i, end, of: word) }
    let start = values[i] == 0x20 && i + 1 < end ? i + 1 : i
    if classes[start].isAny(of: [.punctuation, .symbol]) {
      return lineBreaks(run(start, end, of: [.punctuation, .symbol]), end)
    }
    guard here.contains(.space) else { return i }
    let broken = spacesThroughLineBreak(i, end)
    return broken > i ? broken : spacesBeforeWord(i, end)
  }
}
