/// How BLEU cuts text into words; the same words as sacreBLEU (Post, arXiv 1804.08771).
public enum BLEUTokenization: String, Sendable, Hashable, CaseIterable {
  /// mteval-v13a's, WMT's: ASCII punctuation is cut off, but not inside numbers.
  case mteval13a = "13a"
  /// mteval-v14's: all of Unicode's punctuation and symbols.
  case international = "intl"
  /// The text has been cut.
  case none

  /// The words of a line.
  public func words(_ line: String) -> [String] {
    var scalars = Array(line.unicodeScalars)
    while let last = scalars.last, Self.isSpace(last) { scalars.removeLast() }
    switch self {
    case .none: break
    case .mteval13a: scalars = Self.mteval13a(scalars)
    case .international: scalars = Self.international(scalars)
    }
    return scalars.split(whereSeparator: Self.isSpace).map { word in
      var view = String.UnicodeScalarView()
      view.append(contentsOf: word)
      return String(view)
    }
  }

  /// White space as Python's `str.split` sees it.
  private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
  }

  private static func mteval13a(_ line: [Unicode.Scalar]) -> [Unicode.Scalar] {
    var text = line
    text = replace(text, "<skipped>", "")
    text = replace(text, "-\n", "")
    text = replace(text, "\n", " ")
    for (entity, meaning) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
      text = replace(text, entity, meaning)
    }
    text = [" "] + text + [" "]
    text = text.flatMap { isCut($0) ? [" ", $0, " "] : [$0] }
    func isDigit(_ x: Unicode.Scalar) -> Bool { ("0"..."9").contains(x) }
    func isPoint(_ x: Unicode.Scalar) -> Bool { x == "." || x == "," }
    text = pairs(text) { !isDigit($0) && isPoint($1) ? [$0, " ", $1, " "] : nil }
    text = pairs(text) { isPoint($0) && !isDigit($1) ? [" ", $0, " ", $1] : nil }
    return pairs(text) { isDigit($0) && $1 == "-" ? [$0, " ", $1, " "] : nil }
  }

  /// ASCII punctuation but for the apostrophe, comma, hyphen and full stop.
  private static func isCut(_ x: Unicode.Scalar) -> Bool {
    switch x {
    case "{"..."~", "["..."`", " "..."&", "("..."+", ":"..."@", "/": true
    default: false
    }
  }

  private static func international(_ line: [Unicode.Scalar]) -> [Unicode.Scalar] {
    func isNumber(_ x: Unicode.Scalar) -> Bool {
      switch x.properties.generalCategory {
      case .decimalNumber, .letterNumber, .otherNumber: true
      default: false
      }
    }
    func isPunctuation(_ x: Unicode.Scalar) -> Bool {
      switch x.properties.generalCategory {
      case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
        .initialPunctuation, .finalPunctuation, .otherPunctuation:
        true
      default: false
      }
    }
    func isSymbol(_ x: Unicode.Scalar) -> Bool {
      switch x.properties.generalCategory {
      case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol: true
      default: false
      }
    }
    var text = pairs(line) { !isNumber($0) && isPunctuation($1) ? [$0, " ", $1, " "] : nil }
    text = pairs(text) { isPunctuation($0) && !isNumber($1) ? [" ", $0, " ", $1] : nil }
    return text.flatMap { isSymbol($0) ? [" ", $0, " "] : [$0] }
  }

  /// Replaces pairs of neighbours from left to right, none twice.
  private static func pairs(
    _ text: [Unicode.Scalar],
    _ replacement: (Unicode.Scalar, Unicode.Scalar) -> [Unicode.Scalar]?
  ) -> [Unicode.Scalar] {
    var result: [Unicode.Scalar] = []
    result.reserveCapacity(text.count * 5 / 4)
    var i = 0
    while i < text.count {
      if i + 1 < text.count, let pair = replacement(text[i], text[i + 1]) {
        result += pair
        i += 2
      } else {
        result.append(text[i])
        i += 1
      }
    }
    return result
  }

  private static func replace(
    _ text: [Unicode.Scalar], _ old: String, _ new: String
  ) -> [Unicode.Scalar] {
    let old = Array(old.unicodeScalars)
    guard let head = old.first, text.contains(head) else { return text }
    var result: [Unicode.Scalar] = []
    var i = 0
    while i < text.count {
      if text[i...].starts(with: old) {
        result += new.unicodeScalars
        i += old.count
      } else {
        result.append(text[i])
        i += 1
      }
    }
    return result
  }
}
