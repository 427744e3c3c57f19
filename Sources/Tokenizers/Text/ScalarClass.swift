/// What pre-tokenizers ask of a character: its Unicode general category in eight bits.
struct ScalarClass: OptionSet, Sendable {
  let rawValue: UInt8

  static let letter = Self(rawValue: 1)
  static let number = Self(rawValue: 2)
  static let mark = Self(rawValue: 4)
  static let punctuation = Self(rawValue: 8)
  static let symbol = Self(rawValue: 16)
  static let space = Self(rawValue: 32)
  /// Lu or Lt.
  static let upper = Self(rawValue: 64)
  /// Ll.
  static let lower = Self(rawValue: 128)

  init(rawValue: UInt8) { self.rawValue = rawValue }

  init(_ scalar: Unicode.Scalar) {
    if scalar.value < Self.table.count {
      self = Self.table[Int(scalar.value)]
    } else {
      self = Self.compute(scalar)
    }
  }

  /// The basic multilingual plane, looked up once: properties cost ten times a table.
  private static let table: [ScalarClass] = (UInt32(0)..<0x10000).map { value in
    Unicode.Scalar(value).map(compute) ?? []
  }

  private static func compute(_ scalar: Unicode.Scalar) -> ScalarClass {
    let properties = scalar.properties
    var result: ScalarClass = properties.isWhitespace ? .space : []
    switch properties.generalCategory {
    case .uppercaseLetter, .titlecaseLetter: result.formUnion([.letter, .upper])
    case .lowercaseLetter: result.formUnion([.letter, .lower])
    case .modifierLetter, .otherLetter: result.formUnion(.letter)
    case .decimalNumber, .letterNumber, .otherNumber: result.formUnion(.number)
    case .nonspacingMark, .spacingMark, .enclosingMark: result.formUnion(.mark)
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
      .initialPunctuation, .finalPunctuation, .otherPunctuation:
      result.formUnion(.punctuation)
    case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol: result.formUnion(.symbol)
    default: break
    }
    return result
  }

  func isAny(of other: ScalarClass) -> Bool { !isDisjoint(with: other) }
}
