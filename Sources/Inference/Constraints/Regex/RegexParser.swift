/// Reads regular expressions in ECMA-262 syntax (with its `u` flag), as JSON Schema means them.
///
/// Look-around, back-references and word boundaries are refused: they need more than one reading.
struct RegexParser {
  private let pattern: [Unicode.Scalar]
  private var i = 0
  private var depth = 0

  /// Groups inside each other may not go deeper.
  static let deepestNesting = 100
  /// The most that a counted repetition may ask for.
  static let mostRepetitions = 100_000

  init(_ pattern: String) { self.pattern = Array(pattern.unicodeScalars) }

  mutating func parse() throws(ConstraintError) -> RegexNode {
    let result = try choice()
    if i < pattern.count { throw failure("a ')' without its '('") }
    return result
  }

  private func failure(_ problem: String, at offset: Int? = nil) -> ConstraintError {
    .regex(offset: offset ?? i, problem: problem)
  }

  private var current: Unicode.Scalar? { i < pattern.count ? pattern[i] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard current == scalar else { return false }
    i += 1
    return true
  }

  private func looksAt(_ text: String) -> Bool {
    pattern[i...].starts(with: text.unicodeScalars)
  }

  private mutating func choice() throws(ConstraintError) -> RegexNode {
    depth += 1
    defer { depth -= 1 }
    if depth > Self.deepestNesting {
      throw failure("more than \(Self.deepestNesting) groups inside each other")
    }
    var branches = [try sequence()]
    while take("|") { branches.append(try sequence()) }
    return branches.count == 1 ? branches[0] : .choice(branches)
  }

  private mutating func sequence() throws(ConstraintError) -> RegexNode {
    var parts: [RegexNode] = []
    while let scalar = current, scalar != "|", scalar != ")" {
      let offset = i
      let part = try atom()
      switch part {
      case .start, .end:
        if let next = current, "*+?{".unicodeScalars.contains(next) {
          throw failure("an anchor cannot be repeated", at: offset)
        }
        parts.append(part)
      default: parts.append(try quantified(part))
      }
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func quantified(_ part: RegexNode) throws(ConstraintError) -> RegexNode {
    let offset = i
    var min = 0
    var max: Int?
    switch current {
    case "*": i += 1
    case "+":
      i += 1
      min = 1
    case "?":
      i += 1
      max = 1
    case "{":
      i += 1
      (min, max) = try bounds(from: offset)
    default: return part
    }
    // Lazy and greedy texts are the same texts.
    _ = take("?")
    if let next = current, "*+?{".unicodeScalars.contains(next) {
      throw failure("a repetition of a repetition: put the first one in a group")
    }
    return .repeated(part, min: min, max: max)
  }

  private mutating func bounds(from offset: Int) throws(ConstraintError) -> (Int, Int?) {
    let first = try number()
    if take("}"), let first { return (first, first) }
    guard take(",") else {
      throw failure("a repetition is '{n}', '{n,}' or '{n,m}'; write '\\{' for a brace", at: offset)
    }
    let second = try number()
    guard take("}"), first != nil || second != nil else {
      throw failure("a repetition is '{n}', '{n,}' or '{n,m}'; write '\\{' for a brace", at: offset)
    }
    if let first, let second, second < first {
      throw failure("a repetition whose bounds are in the wrong order", at: offset)
    }
    return (first ?? 0, second)
  }

  private mutating func number() throws(ConstraintError) -> Int? {
    let offset = i
    var value = 0
    while let scalar = current,
      let digit = scalar.properties.numericType == .decimal && scalar.isASCII
        ? Int(scalar.value) - 0x30 : nil
    {
      value = value * 10 + digit
      i += 1
      if value > Self.mostRepetitions {
        throw failure("a repetition of more than \(Self.mostRepetitions)", at: offset)
      }
    }
    return i > offset ? value : nil
  }

  private mutating func atom() throws(ConstraintError) -> RegexNode {
    let offset = i
    guard let scalar = current else { throw failure("a pattern that goes on") }
    i += 1
    switch scalar {
    case "^": return .start(offset: offset)
    case "$": return .end(offset: offset)
    case ".": return .set(RegexClasses.lineTerminators.complement)
    case "(": return try group(from: offset)
    case "[": return .set(try characterClass(from: offset))
    case "\\": return .set(try escape(from: offset, inClass: false))
    case "*", "+", "?": throw failure("a repetition of nothing", at: offset)
    case "{": throw failure("a repetition of nothing; write '\\{' for a brace", at: offset)
    default: return .set(ScalarSet(scalar))
    }
  }

  private mutating func group(from offset: Int) throws(ConstraintError) -> RegexNode {
    if take("?") {
      if take(":") {
      } else if looksAt("=") || looksAt("!") || looksAt("<=") || looksAt("<!") {
        throw failure("look-around is not supported", at: offset)
      } else if take("<") || takeAll("P<") {
        while let scalar = current, scalar != ">" {
          guard scalar.properties.isXIDContinue || scalar == "$" else {
            throw failure("a group's name of letters and digits, then '>'")
          }
          i += 1
        }
        if !take(">") { throw failure("a group's name of letters and digits, then '>'") }
      } else {
        throw failure("this kind of group is not supported", at: offset)
      }
    }
    let body = try choice()
    guard take(")") else { throw failure("a '(' without its ')'", at: offset) }
    return body
  }

  private mutating func takeAll(_ text: String) -> Bool {
    guard looksAt(text) else { return false }
    i += text.unicodeScalars.count
    return true
  }

  private mutating func characterClass(from offset: Int) throws(ConstraintError) -> ScalarSet {
    let isNegated = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    while let scalar = current, scalar != "]" {
      let start = i
      if looksAt("[:") { throw failure("POSIX classes are not supported", at: start) }
      let first = try classMember()
      guard looksAt("-"), i + 1 < pattern.count, pattern[i + 1] != "]" else {
        ranges += first.ranges
        continue
      }
      i += 1
      let last = try classMember()
      guard let low = first.single, let high = last.single, low <= high else {
        throw failure("a range of one character to a later one", at: start)
      }
      ranges.append(low...high)
    }
    guard take("]") else { throw failure("a '[' without its ']'", at: offset) }
    let set = ScalarSet(ranges)
    return isNegated ? set.complement : set.intersection(.all)
  }

  private mutating func classMember() throws(ConstraintError) -> ScalarSet {
    guard let scalar = current else { throw failure("a '[' without its ']'") }
    i += 1
    return scalar == "\\" ? try escape(from: i - 1, inClass: true) : ScalarSet(scalar)
  }

  /// What follows a backslash.
  private mutating func escape(
    from offset: Int, inClass: Bool
  ) throws(ConstraintError) -> ScalarSet {
    guard let scalar = current else { throw failure("a backslash at the end", at: offset) }
    i += 1
    switch scalar {
    case "d": return RegexClasses.digits
    case "D": return RegexClasses.digits.complement
    case "w": return RegexClasses.word
    case "W": return RegexClasses.word.complement
    case "s": return RegexClasses.space
    case "S": return RegexClasses.space.complement
    case "n": return ScalarSet("\n")
    case "r": return ScalarSet("\r")
    case "t": return ScalarSet("\t")
    case "f": return ScalarSet("\u{c}")
    case "v": return ScalarSet("\u{b}")
    case "b" where inClass: return ScalarSet("\u{8}")
    case "b", "B", "A", "Z", "z", "G":
      throw failure("the boundary '\\\(scalar)' is not supported", at: offset)
    case "0":
      if let next = current, next.isASCII, next.properties.numericType == .decimal {
        throw failure("octal escapes are not supported", at: offset)
      }
      return ScalarSet("\0")
    case "1"..."9", "k": throw failure("back-references are not supported", at: offset)
    case "x": return try scalarSet(hex(2, from: offset), from: offset)
    case "u": return try unicode(from: offset)
    case "c":
      guard let letter = current, letter.isASCII, letter.properties.isAlphabetic else {
        throw failure("'\\c' and a letter", at: offset)
      }
      i += 1
      return try scalarSet(letter.value % 32, from: offset)
    case "p", "P":
      let set = try property(from: offset)
      return scalar == "p" ? set : set.complement
    default:
      if scalar.isASCII, scalar.properties.isAlphabetic {
        throw failure("the escape '\\\(scalar)' is not known", at: offset)
      }
      return ScalarSet(scalar)
    }
  }

  private mutating func hex(_ count: Int, from offset: Int) throws(ConstraintError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<count {
      guard let scalar = current, let digit = Character(scalar).hexDigitValue, scalar.isASCII else {
        throw failure("\(count) hexadecimal digits", at: offset)
      }
      value = value << 4 | UInt32(truncatingIfNeeded: digit)
      i += 1
    }
    return value
  }

  private mutating func unicode(from offset: Int) throws(ConstraintError) -> ScalarSet {
    if take("{") {
      var value: UInt32 = 0
      let start = i
      while let scalar = current, scalar.isASCII, let digit = Character(scalar).hexDigitValue,
        i - start < 6
      {
        value = value << 4 | UInt32(truncatingIfNeeded: digit)
        i += 1
      }
      guard i > start, take("}") else {
        throw failure("one to six hexadecimal digits in braces", at: offset)
      }
      return try scalarSet(value, from: offset)
    }
    let value = try hex(4, from: offset)
    if (0xd800..<0xdc00).contains(value), takeAll("\\u") {
      let low = try hex(4, from: offset)
      guard (0xdc00..<0xe000).contains(low) else {
        throw failure("the second half of a surrogate pair", at: offset)
      }
      return try scalarSet(0x10000 + (value - 0xd800) << 10 + (low - 0xdc00), from: offset)
    }
    return try scalarSet(value, from: offset)
  }

  private func scalarSet(_ value: UInt32, from offset: Int) throws(ConstraintError) -> ScalarSet {
    guard let scalar = Unicode.Scalar(value) else {
      throw failure("a Unicode scalar value", at: offset)
    }
    return ScalarSet(scalar)
  }

  private mutating func property(from offset: Int) throws(ConstraintError) -> ScalarSet {
    var name = ""
    if take("{") {
      while let scalar = current, scalar != "}" {
        name.unicodeScalars.append(scalar)
        i += 1
      }
      guard take("}") else { throw failure("a property's name in braces", at: offset) }
    } else if let scalar = current {
      name.unicodeScalars.append(scalar)
      i += 1
    }
    guard let set = RegexClasses.category(name) else {
      throw failure("the property '\(name)' is not known: general categories are", at: offset)
    }
    return set
  }
}

extension ScalarSet {
  /// The only member, if there is one.
  fileprivate var single: UInt32? {
    guard ranges.count == 1, ranges[0].lowerBound == ranges[0].upperBound else { return nil }
    return ranges[0].lowerBound
  }
}
