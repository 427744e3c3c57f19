/// The sets of characters that regular expressions have names for (ECMA-262, 22.2).
enum RegexClasses {
  static let digits = ScalarSet([0x30...0x39])
  static let word = ScalarSet([0x30...0x39, 0x41...0x5a, 0x5f...0x5f, 0x61...0x7a])
  static let lineTerminators = ScalarSet([0x0a...0x0a, 0x0d...0x0d, 0x2028...0x2029])
  /// White space and line terminators.
  static let space = ScalarSet([
    0x09...0x0d, 0x20...0x20, 0xa0...0xa0, 0x1680...0x1680, 0x2000...0x200a, 0x2028...0x2029,
    0x202f...0x202f, 0x205f...0x205f, 0x3000...0x3000, 0xfeff...0xfeff,
  ])

  /// The scalars of a general category (`L`, `Lu`, `Letter` …), `Any` or `ASCII`; nil if unknown.
  static func category(_ name: String) -> ScalarSet? {
    switch name {
    case "Any": return .all
    case "ASCII": return ScalarSet([0...0x7f])
    default: break
    }
    let wanted = name.replacing("General_Category=", with: "").replacing("gc=", with: "")
    let short = longNames[wanted] ?? wanted
    guard let categories = categories[short] else { return nil }
    var ranges: [ClosedRange<UInt32>] = []
    var start: UInt32?
    for value in 0...UInt32(0x110000) {
      let isMember =
        Unicode.Scalar(value).map { categories.contains($0.properties.generalCategory) } ?? false
      if isMember, start == nil { start = value }
      if !isMember, let first = start {
        ranges.append(first...value - 1)
        start = nil
      }
    }
    return ScalarSet(ranges)
  }

  private static let longNames = [
    "Letter": "L", "Uppercase_Letter": "Lu", "Lowercase_Letter": "Ll", "Titlecase_Letter": "Lt",
    "Modifier_Letter": "Lm", "Other_Letter": "Lo", "Mark": "M", "Number": "N",
    "Decimal_Number": "Nd", "Letter_Number": "Nl", "Other_Number": "No", "Punctuation": "P",
    "Symbol": "S", "Separator": "Z", "Space_Separator": "Zs",
  ]

  private static let categories: [String: Set<Unicode.GeneralCategory>] = {
    let single: [String: Unicode.GeneralCategory] = [
      "Lu": .uppercaseLetter, "Ll": .lowercaseLetter, "Lt": .titlecaseLetter,
      "Lm": .modifierLetter, "Lo": .otherLetter, "Mn": .nonspacingMark, "Mc": .spacingMark,
      "Me": .enclosingMark, "Nd": .decimalNumber, "Nl": .letterNumber, "No": .otherNumber,
      "Pc": .connectorPunctuation, "Pd": .dashPunctuation, "Ps": .openPunctuation,
      "Pe": .closePunctuation, "Pi": .initialPunctuation, "Pf": .finalPunctuation,
      "Po": .otherPunctuation, "Sm": .mathSymbol, "Sc": .currencySymbol, "Sk": .modifierSymbol,
      "So": .otherSymbol, "Zs": .spaceSeparator, "Zl": .lineSeparator, "Zp": .paragraphSeparator,
      "Cc": .control, "Cf": .format,
    ]
    var result: [String: Set<Unicode.GeneralCategory>] = [:]
    for (name, category) in single {
      result[name] = [category]
      // `C` would also hold what is not assigned, of which versions of Unicode disagree.
      if name.first != "C" { result[String(name.prefix(1)), default: []].insert(category) }
    }
    return result
  }()
}
