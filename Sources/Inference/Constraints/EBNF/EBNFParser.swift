/// Reads grammars in the notation of llama.cpp's GBNF.
///
/// ```
/// root   ::= (pair "\n")+          # comments run to the end of the line
/// pair   ::= [a-z_]+ "=" value
/// value  ::= "\"" [^"\n]{0,20} "\"" | number
/// number ::= "-"? [0-9]+
/// ```
///
/// A rule goes on over lines inside parentheses, after `|` and before it. The text must follow the
/// rule `root`.
struct EBNFParser {
  private let text: [Unicode.Scalar]
  private var i = 0
  private var depth = 0
  private var builder = GrammarBuilder()
  private var rules: [String: Int] = [:]
  private var defined: Set<String> = []
  /// Where each rule was first used.
  private var uses: [(name: String, offset: Int)] = []

  /// Parentheses inside each other may not go deeper.
  static let deepestNesting = 100

  init(_ text: String) {
    self.text = Array(text.replacing("\r\n", with: "\n").unicodeScalars)
  }

  mutating func grammar() throws(ConstraintError) -> Grammar {
    skip(lines: true)
    while i < text.count { try rule() }
    for use in uses where !defined.contains(use.name) {
      throw failure("the rule '\(use.name)' is not defined", at: use.offset)
    }
    guard let root = rules["root"], defined.contains("root") else {
      throw failure("a grammar has a rule 'root'")
    }
    return builder.grammar(root: root)
  }

  private func failure(_ problem: String, at offset: Int? = nil) -> ConstraintError {
    let before = text[..<min(offset ?? i, text.count)]
    let line = before.count { $0 == "\n" } + 1
    let column = before.reversed().prefix { $0 != "\n" }.count + 1
    return .grammar(line: line, column: column, problem: problem)
  }

  private var current: Unicode.Scalar? { i < text.count ? text[i] : nil }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard current == scalar else { return false }
    i += 1
    return true
  }

  /// Skips blanks and comments.
  private mutating func skip(lines: Bool) {
    while let scalar = current {
      switch scalar {
      case " ", "\t": i += 1
      case "\n" where lines, "\r" where lines: i += 1
      case "#": i = text[i...].firstIndex(of: "\n") ?? text.count
      default: return
      }
    }
  }

  private static func isNamePart(_ scalar: Unicode.Scalar) -> Bool {
    scalar.isASCII
      && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || scalar == "-"
        || scalar == "_")
  }

  private mutating func name() -> String? {
    let start = i
    while let scalar = current, Self.isNamePart(scalar) { i += 1 }
    if i == start { return nil }
    var name = ""
    name.unicodeScalars.append(contentsOf: text[start..<i])
    return name
  }

  private mutating func number(of name: String) -> Int {
    if let known = rules[name] { return known }
    let new = builder.declare(name)
    rules[name] = new
    return new
  }

  private mutating func rule() throws(ConstraintError) {
    let start = i
    guard let name = name() else { throw failure("a rule begins with its name") }
    skip(lines: true)
    guard text[i...].starts(with: "::=".unicodeScalars) else {
      throw failure("'::=' after the name of the rule '\(name)'")
    }
    i += 3
    skip(lines: true)
    guard defined.insert(name).inserted else {
      throw failure("the rule '\(name)' is defined twice", at: start)
    }
    let rule = number(of: name)
    builder.define(rule, try choice(lines: false))
    skip(lines: false)
    if let scalar = current, scalar != "\n" {
      throw failure("'\(scalar)' is not expected here")
    }
    skip(lines: true)
  }

  /// - Parameter lines: line feeds are blanks, as inside parentheses.
  private mutating func choice(lines: Bool) throws(ConstraintError) -> Expression {
    depth += 1
    defer { depth -= 1 }
    if depth > Self.deepestNesting {
      throw failure("more than \(Self.deepestNesting) parentheses inside each other")
    }
    var branches = [try sequence(lines: lines)]
    while continues(lines: lines) {
      skip(lines: true)
      branches.append(try sequence(lines: lines))
    }
    return branches.count == 1 ? branches[0] : .choice(branches)
  }

  /// Takes a `|`, which may begin the next line.
  private mutating func continues(lines: Bool) -> Bool {
    let start = i
    skip(lines: true)
    if take("|") { return true }
    if !lines { i = start }
    return false
  }

  private mutating func sequence(lines: Bool) throws(ConstraintError) -> Expression {
    var parts: [Expression] = []
    while true {
      skip(lines: lines)
      guard let scalar = current, scalar != "|", scalar != ")", scalar != "\n" else { break }
      parts.append(try repeated(try atom()))
    }
    return parts.count == 1 ? parts[0] : .sequence(parts)
  }

  private mutating func atom() throws(ConstraintError) -> Expression {
    let start = i
    switch current {
    case "\"":
      i += 1
      return try literal(from: start)
    case "[":
      i += 1
      return .characters(try characterClass(from: start))
    case ".":
      i += 1
      return .characters(.all)
    case "(":
      i += 1
      let body = try choice(lines: true)
      skip(lines: true)
      guard take(")") else { throw failure("a '(' without its ')'", at: start) }
      return body
    default:
      guard let name = name() else {
        throw failure(
          "'\(current.map(String.init) ?? "")' is not expected here: "
            + "a rule's name, a text in quotes, a class in brackets or a group")
      }
      uses.append((name, start))
      return .rule(number(of: name))
    }
  }

  private mutating func repeated(_ part: Expression) throws(ConstraintError) -> Expression {
    var result = part
    while true {
      let start = i
      if take("*") {
        result = .repeated(result, min: 0, max: nil)
      } else if take("+") {
        result = .repeated(result, min: 1, max: nil)
      } else if take("?") {
        result = .optional(result)
      } else if take("{") {
        let (min, max) = try bounds(from: start)
        result = .repeated(result, min: min, max: max)
      } else {
        return result
      }
    }
  }

  private mutating func bounds(from start: Int) throws(ConstraintError) -> (Int, Int?) {
    skip(lines: false)
    let first = try count()
    skip(lines: false)
    if take("}"), let first { return (first, first) }
    guard first != nil || current == ",", take(",") else {
      throw failure("a repetition is '{n}', '{n,}', '{,m}' or '{n,m}'", at: start)
    }
    skip(lines: false)
    let second = try count()
    skip(lines: false)
    guard take("}"), first != nil || second != nil else {
      throw failure("a repetition is '{n}', '{n,}', '{,m}' or '{n,m}'", at: start)
    }
    if let first, let second, second < first {
      throw failure("a repetition whose bounds are in the wrong order", at: start)
    }
    return (first ?? 0, second)
  }

  private mutating func count() throws(ConstraintError) -> Int? {
    let start = i
    var value = 0
    while let scalar = current, ("0"..."9").contains(scalar) {
      value = value * 10 + Int(scalar.value - 0x30)
      i += 1
      if value > RegexParser.mostRepetitions {
        throw failure("a repetition of more than \(RegexParser.mostRepetitions)", at: start)
      }
    }
    return i > start ? value : nil
  }

  private mutating func literal(from start: Int) throws(ConstraintError) -> Expression {
    var result = ""
    while let scalar = current, scalar != "\"" {
      if scalar == "\n" { break }
      result.unicodeScalars.append(try character())
    }
    guard take("\"") else { throw failure("a text without its closing quote", at: start) }
    return .text(result)
  }

  private mutating func characterClass(from start: Int) throws(ConstraintError) -> ScalarSet {
    let isNegated = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    while let scalar = current, scalar != "]" {
      if scalar == "\n" { break }
      let place = i
      let first = try character()
      guard current == "-", i + 1 < text.count, text[i + 1] != "]" else {
        ranges.append(first.value...first.value)
        continue
      }
      i += 1
      let last = try character()
      guard first.value <= last.value else {
        throw failure("a range from one character to a later one", at: place)
      }
      ranges.append(first.value...last.value)
    }
    guard take("]") else { throw failure("a '[' without its ']'", at: start) }
    let set = ScalarSet(ranges)
    return isNegated ? set.complement : set.intersection(.all)
  }

  /// One character of a text or a class, perhaps escaped.
  private mutating func character() throws(ConstraintError) -> Unicode.Scalar {
    let start = i
    guard let scalar = current else { throw failure("the end of the grammar inside a text") }
    i += 1
    if scalar != "\\" { return scalar }
    guard let escaped = current else { throw failure("a backslash at the end", at: start) }
    i += 1
    switch escaped {
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "x": return try hex(2, from: start)
    case "u": return try hex(4, from: start)
    case "U": return try hex(8, from: start)
    case "\\", "\"", "[", "]", "-", "^": return escaped
    default: throw failure("the escape '\\\(escaped)' is not known", at: start)
    }
  }

  private mutating func hex(_ count: Int, from start: Int) throws(ConstraintError) -> Unicode.Scalar
  {
    var value: UInt32 = 0
    for _ in 0..<count {
      guard let scalar = current, scalar.isASCII, let digit = Character(scalar).hexDigitValue else {
        throw failure("\(count) hexadecimal digits", at: start)
      }
      value = value << 4 | UInt32(truncatingIfNeeded: digit)
      i += 1
    }
    guard let scalar = Unicode.Scalar(value) else {
      throw failure("the number of a Unicode scalar value", at: start)
    }
    return scalar
  }
}
