import Foundation

/// One step that rewrites text before it is cut into words.
enum Normalizer: Sendable {
  case nfc, nfd, nfkc, nfkd
  case lowercase
  /// Drops nonspacing marks.
  case stripAccents
  case bert(BERTRules)
  /// SentencePiece's table; `byGrapheme` as the `spm_precompiled` library applies it.
  case characterMap(CharacterMap, byGrapheme: Bool)
  case replace(String, with: String)
  /// Runs of two or more U+0020 become one string.
  case collapseBlanks(into: String)
  case prepend(String)
  case strip(left: Bool, right: Bool)
  /// SentencePiece's `remove_extra_whitespaces`: no U+0020 at the ends, none doubled.
  case removeExtraBlanks

  struct BERTRules: Sendable, Equatable {
    var cleansText = true
    var isolatesIdeographs = true
    var stripsAccents = true
    var lowercases = true
  }

  func apply(_ text: String) -> String {
    switch self {
    case .nfc: text.precomposedStringWithCanonicalMapping
    case .nfd: text.decomposedStringWithCanonicalMapping
    case .nfkc: text.precomposedStringWithCompatibilityMapping
    case .nfkd: text.decomposedStringWithCompatibilityMapping
    case .lowercase: Self.lowercase(text)
    case .stripAccents: Self.withoutMarks(text)
    case .bert(let rules): rules.apply(text)
    case .characterMap(let map, let byGrapheme): map.apply(text, byGrapheme: byGrapheme)
    case .replace(let old, let new): Self.replace(text, old, new)
    case .collapseBlanks(let replacement): Self.collapse(text, into: replacement)
    case .prepend(let prefix): text.isEmpty ? text : prefix + text
    case .strip(let left, let right): Self.strip(text, left: left, right: right)
    case .removeExtraBlanks:
      Self.collapse(text, into: " ").trimmingBlanks()
    }
  }

  static func lowercase(_ text: String) -> String {
    var result: [UInt8] = []
    result.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      if scalar.isASCII {
        let isCapital = (0x41...0x5a).contains(scalar.value)
        result.append(UInt8(truncatingIfNeeded: scalar.value | (isCapital ? 0x20 : 0)))
      } else {
        result.append(contentsOf: scalar.properties.lowercaseMapping.utf8)
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  static func withoutMarks(_ text: String) -> String {
    var result: [UInt8] = []
    result.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars
    where scalar.isASCII || scalar.properties.generalCategory != .nonspacingMark {
      result.append(scalar)
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// Replaces bytes, not characters: `String` search would see canonical equivalents and graphemes.
  static func replace(_ text: String, _ old: String, _ new: String) -> String {
    let bytes = Array(text.utf8)
    let pattern = Array(old.utf8)
    guard let first = pattern.first else { return text }
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    var i = 0
    while i < bytes.count {
      if bytes[i] == first, bytes[i...].starts(with: pattern) {
        result.append(contentsOf: new.utf8)
        i += pattern.count
      } else {
        result.append(bytes[i])
        i += 1
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  private static func collapse(_ text: String, into replacement: String) -> String {
    var result: [UInt8] = []
    var blanks = 0
    func flush() {
      if blanks == 1 { result.append(0x20) }
      if blanks > 1 { result.append(contentsOf: replacement.utf8) }
      blanks = 0
    }
    for byte in text.utf8 {
      if byte == 0x20 {
        blanks += 1
      } else {
        flush()
        result.append(byte)
      }
    }
    flush()
    return String(decoding: result, as: UTF8.self)
  }

  private static func strip(_ text: String, left: Bool, right: Bool) -> String {
    var scalars = text.unicodeScalars[...]
    while left, let first = scalars.first, first.properties.isWhitespace {
      scalars = scalars.dropFirst()
    }
    while right, let last = scalars.last, last.properties.isWhitespace {
      scalars = scalars.dropLast()
    }
    return String(Substring(scalars))
  }
}

extension Normalizer.BERTRules {
  func apply(_ text: String) -> String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      if cleansText {
        if scalar.value == 0 || scalar.value == 0xfffd { continue }
        if scalar.properties.isWhitespace {
          bytes.append(0x20)
          continue
        }
        if Self.isControl(scalar) { continue }
      }
      if isolatesIdeographs, Self.isIdeograph(scalar.value) {
        bytes.append(0x20)
        bytes.append(scalar)
        bytes.append(0x20)
      } else {
        bytes.append(scalar)
      }
    }
    var result = String(decoding: bytes, as: UTF8.self)
    if stripsAccents {
      result = Normalizer.withoutMarks(result.decomposedStringWithCanonicalMapping)
    }
    return lowercases ? Normalizer.lowercase(result) : result
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .privateUse, .surrogate, .unassigned: true
    default: false
    }
  }

  /// The blocks BERT calls Chinese characters.
  private static func isIdeograph(_ value: UInt32) -> Bool {
    switch value {
    case 0x4e00...0x9fff, 0x3400...0x4dbf, 0x20000...0x2a6df, 0x2a700...0x2b73f,
      0x2b740...0x2b81f, 0x2b920...0x2ceaf, 0xf900...0xfaff, 0x2f800...0x2fa1f:
      true
    default: false
    }
  }
}

extension String {
  fileprivate func trimmingBlanks() -> String {
    var bytes = utf8[...]
    while bytes.first == 0x20 { bytes = bytes.dropFirst() }
    while bytes.last == 0x20 { bytes = bytes.dropLast() }
    return String(Substring(bytes))
  }
}
