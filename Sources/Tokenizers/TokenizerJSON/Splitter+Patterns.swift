/// The regular expressions that published `tokenizer.json` files use, and the splitters that are
/// the same languages. Others are refused: a pre-tokenizer that is almost right is wrong.
extension Splitter {
  private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"

  private static let gpt2Pattern =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  /// The three steps of DeepSeek V3 and the five of Coder, and single sets.
  private static let fixed: [String: Splitter] = [
    gpt2Pattern: .gpt2,
    #"\p{N}{1,3}"#: .groups(.numbers, limit: 3),
    #"\p{N}{1,2}"#: .groups(.numbers, limit: 2),
    #"\p{N}"#: .groups(.numbers, limit: 1),
    #"\p{N}+"#: .runs(.numbers),
    "[0-9]": .groups(.asciiDigits, limit: 1),
    "[0-9]+": .runs(.asciiDigits),
    "[0-9][0-9][0-9]": .exact(.asciiDigits, length: 3),
    "[一-龥぀-ゟ゠-ヿ]+": .runs(.deepSeekV3EastAsian),
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
      + "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+": .deepSeekWords,
    "[\r\n]": .groups(.lineBreaks, limit: 1),
    #"\s?\p{L}+"#: .spacedRuns(CharacterSet(classes: .letter)),
    #"\s?\p{P}+"#: .spacedRuns(CharacterSet(classes: .punctuation)),
    "[一-龥ࠀ-一가-퟿]+": .runs(.deepSeekEastAsian),
    #"\s+$"#: .trailingSpace,
    #" ?[^(\s|[.,!?…。，、।۔،])]+"#: .blankRuns(.bloomWord),
    #"\s+"#: .runs(.spaces),
    #"\s"#: .groups(.spaces, limit: 1),
  ]

  /// The splitter for a published expression, as the JSON spells it.
  init?(pattern: String) {
    if let known = Self.fixed[pattern] {
      self = known
      return
    }
    for digits in 1...3 {
      for variant in 0..<8 {
        let rules = WordRules(
          contractions: variant & 1 == 0, digits: digits, marksJoinWords: variant & 2 != 0,
          breaksJoinPunctuation: variant & 4 == 0)
        if Self.pattern(rules) == pattern {
          self = .words(rules)
          return
        }
      }
      for contractions in [true, false] {
        let rules = CasedWordRules(contractions: contractions, digits: digits)
        if Self.pattern(rules) == pattern {
          self = .casedWords(rules)
          return
        }
      }
    }
    return nil
  }

  private static func digitPattern(_ digits: Int) -> String {
    digits == 1 ? #"\p{N}"# : #"\p{N}{1,\#(digits)}"#
  }

  private static func pattern(_ rules: WordRules) -> String {
    let word = rules.marksJoinWords ? #"[\p{L}\p{M}]"# : #"\p{L}"#
    let marks = rules.marksJoinWords ? #"\p{M}"# : ""
    let punctuation =
      rules.breaksJoinPunctuation
      ? #" ?[^\s\p{L}\#(marks)\p{N}]+[\r\n]*"# : #" ?[^\s\p{L}\#(marks)\p{N}\r\n]+"#
    return (rules.contractions ? contractions + "|" : "")
      + #"[^\r\n\p{L}\p{N}]?\#(word)+|\#(digitPattern(rules.digits))|"# + punctuation
      + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }

  private static func pattern(_ rules: CasedWordRules) -> String {
    let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
    let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
    let tail = rules.contractions ? contractions + "?" : ""
    let lead = #"[^\r\n\p{L}\p{N}]?"#
    return "\(lead)\(upper)*\(lower)+\(tail)|\(lead)\(upper)+\(lower)*\(tail)|"
      + digitPattern(rules.digits) + #"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }
}
