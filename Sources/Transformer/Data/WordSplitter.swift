/// Cuts text into words so that joining them gives the text back.
///
/// Runs of letters, digits and marks are words, every other character is one. A word that follows a
/// space begins with U+2581; runs of white space count as one space. U+2581 in the text itself
/// becomes an underscore.
public enum WordSplitter {
  /// What stands for a space.
  static let space: Unicode.Scalar = "\u{2581}"

  /// The words of a text.
  public static func words(_ text: String) -> [String] {
    var words: [String] = []
    var word = String.UnicodeScalarView()
    var wasSpace = true
    var inWord = false
    func flush() {
      if !word.isEmpty { words.append(String(word)) }
      word = String.UnicodeScalarView()
    }
    for scalar in text.unicodeScalars {
      if scalar.properties.isWhitespace {
        flush()
        (wasSpace, inWord) = (true, false)
        continue
      }
      let continues = isWordScalar(scalar)
      if !(inWord && continues) { flush() }
      if wasSpace { word.append(space) }
      word.append(scalar == space ? "_" : scalar)
      (wasSpace, inWord) = (false, continues)
    }
    flush()
    return words
  }

  /// The text of joined words.
  public static func text(_ joined: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in joined.unicodeScalars {
      if scalar == space {
        if !result.isEmpty { result.append(" ") }
      } else {
        result.append(scalar)
      }
    }
    return String(result)
  }

  private static func isWordScalar(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII {
      return (48...57).contains(scalar.value) || (65...90).contains(scalar.value)
        || (97...122).contains(scalar.value)
    }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter,
      .decimalNumber, .letterNumber, .otherNumber, .nonspacingMark, .spacingMark, .enclosingMark:
      return true
    default: return false
    }
  }
}
