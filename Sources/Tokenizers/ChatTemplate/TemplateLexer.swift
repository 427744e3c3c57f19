/// A word, number, string or sign inside a tag, or the text between tags.
struct TemplateToken: Sendable {
  enum Kind: Sendable, Equatable {
    case text(String)
    case outputBegin, outputEnd, blockBegin, blockEnd
    case name(String)
    case integer(Int)
    case number(Double)
    case string(String)
    case sign(String)
    case end
  }

  var kind: Kind
  var position: TemplatePosition
}

/// Cuts a template's source into tokens, with Jinja's white-space rules as chat templates use them:
/// `trim_blocks` and `lstrip_blocks` are on, `-` and `+` override them.
struct TemplateLexer {
  private let source: [Unicode.Scalar]
  private var i = 0
  private var position = TemplatePosition()
  private var tokens: [TemplateToken] = []

  static func tokens(of source: String) throws(ChatTemplate.Failure) -> [TemplateToken] {
    var scalars: [Unicode.Scalar] = []
    for scalar in source.unicodeScalars {
      // Every line end is one LF.
      if scalar == "\n", scalars.last == "\r" { scalars.removeLast() }
      scalars.append(scalar)
    }
    for index in scalars.indices where scalars[index] == "\r" { scalars[index] = "\n" }
    if scalars.last == "\n" { scalars.removeLast() }
    var lexer = TemplateLexer(source: scalars)
    try lexer.run()
    return lexer.tokens
  }

  private init(source: [Unicode.Scalar]) { self.source = source }

  private func peek(_ offset: Int = 0) -> Unicode.Scalar? {
    i + offset < source.count ? source[i + offset] : nil
  }

  private mutating func advance() {
    if source[i] == "\n" {
      position.line += 1
      position.column = 1
    } else {
      position.column += 1
    }
    i += 1
  }

  private mutating func advance(_ count: Int) {
    for _ in 0..<count where i < source.count { advance() }
  }

  private func starts(with text: String, at offset: Int = 0) -> Bool {
    var j = i + offset
    for scalar in text.unicodeScalars {
      guard j < source.count, source[j] == scalar else { return false }
      j += 1
    }
    return true
  }

  private mutating func run() throws(ChatTemplate.Failure) {
    var text: [Unicode.Scalar] = []
    var stripsNext = false
    var dropsNewline = false
    while i < source.count {
      let isTag = starts(with: "{{") || starts(with: "{%") || starts(with: "{#")
      if !isTag {
        let scalar = source[i]
        advance()
        if stripsNext, Self.isSpace(scalar) { continue }
        stripsNext = false
        if dropsNewline {
          dropsNewline = false
          if scalar == "\n" { continue }
        }
        text.append(scalar)
        continue
      }
      stripsNext = false
      dropsNewline = false
      let kind = source[i + 1]
      let control = peek(2)
      if control == "-" {
        while let last = text.last, Self.isSpace(last) { text.removeLast() }
      } else if kind != "{", control != "+" {
        stripLineStart(&text)
      }
      flush(&text)
      let opening = position
      advance(control == "-" || (control == "+" && kind != "{") ? 3 : 2)
      let ending: (strips: Bool, keeps: Bool)
      switch kind {
      case "#": ending = try comment(opening)
      case "{":
        tokens.append(TemplateToken(kind: .outputBegin, position: opening))
        ending = try inside("}}", .outputEnd, opening)
      default:
        if let raw = try rawBlock(opening) {
          text = raw.text
          ending = raw.ending
        } else {
          tokens.append(TemplateToken(kind: .blockBegin, position: opening))
          ending = try inside("%}", .blockEnd, opening)
        }
      }
      stripsNext = ending.strips
      dropsNewline = !ending.strips && !ending.keeps && kind != "{"
    }
    flush(&text)
    tokens.append(TemplateToken(kind: .end, position: position))
  }

  private mutating func flush(_ text: inout [Unicode.Scalar]) {
    if text.isEmpty { return }
    var view = String.UnicodeScalarView()
    view.append(contentsOf: text)
    tokens.append(TemplateToken(kind: .text(String(view)), position: position))
    text = []
  }

  /// `lstrip_blocks`: blanks before a block tag go if nothing else precedes it on its line.
  private func stripLineStart(_ text: inout [Unicode.Scalar]) {
    var end = text.count
    while end > 0, text[end - 1] != "\n", Self.isSpace(text[end - 1]) { end -= 1 }
    let startsLine = end > 0 ? text[end - 1] == "\n" : lineStartsHere(text.count)
    if startsLine { text.removeSubrange(end...) }
  }

  /// Whether the `length` characters before the tag begin their line in the source.
  private func lineStartsHere(_ length: Int) -> Bool {
    var j = i - 1
    while j >= 0, source[j] != "\n" {
      if !Self.isSpace(source[j]) { return false }
      j -= 1
    }
    return true
  }

  private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    TemplateEvaluator.isSpace(scalar)
  }

  private mutating func comment(
    _ opening: TemplatePosition
  ) throws(ChatTemplate.Failure) -> (strips: Bool, keeps: Bool) {
    while i < source.count {
      for (close, strips, keeps) in [
        ("-#}", true, false), ("+#}", false, true), ("#}", false, false),
      ]
      where starts(with: close) {
        advance(close.count)
        return (strips, keeps)
      }
      advance()
    }
    throw opening.failure(.syntax, "this comment has no end")
  }

  private mutating func rawBlock(
    _ opening: TemplatePosition
  ) throws(ChatTemplate.Failure) -> (text: [Unicode.Scalar], ending: (strips: Bool, keeps: Bool))? {
    let saved = (i, position)
    skipSpace()
    guard starts(with: "raw"), !isNamePart(peek(3)) else {
      (i, position) = saved
      return nil
    }
    advance(3)
    skipSpace()
    var strips = false
    if peek() == "-" {
      strips = true
      advance()
    }
    guard starts(with: "%}") else {
      (i, position) = saved
      return nil
    }
    advance(2)
    if !strips, peek() == "\n" { advance() }
    var text: [Unicode.Scalar] = []
    while i < source.count {
      if starts(with: "{%") {
        let mark = (i, position)
        advance(2)
        let stripsBefore = peek() == "-"
        if peek() == "-" || peek() == "+" { advance() }
        skipSpace()
        if starts(with: "endraw") {
          advance(6)
          skipSpace()
          let stripsAfter = peek() == "-"
          let keeps = peek() == "+"
          if stripsAfter || keeps { advance() }
          if starts(with: "%}") {
            advance(2)
            if stripsBefore {
              while let last = text.last, Self.isSpace(last) { text.removeLast() }
            } else {
              var end = text.count
              while end > 0, text[end - 1] != "\n", Self.isSpace(text[end - 1]) { end -= 1 }
              if end > 0, text[end - 1] == "\n" { text.removeSubrange(end...) }
            }
            if strips { text = Array(text.drop { Self.isSpace($0) }) }
            return (text, (stripsAfter, keeps))
          }
        }
        (i, position) = mark
      }
      text.append(source[i])
      advance()
    }
    throw opening.failure(.syntax, "this raw block has no end")
  }

  private mutating func skipSpace() {
    while let scalar = peek(), Self.isSpace(scalar) { advance() }
  }

  private func isNamePart(_ scalar: Unicode.Scalar?) -> Bool {
    guard let scalar else { return false }
    if scalar.isASCII {
      return scalar == "_" || ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar)
        || ("0"..."9").contains(scalar)
    }
    return scalar.properties.isAlphabetic
  }

  /// Tokens up to the closing sign, which ends outside brackets only.
  private mutating func inside(
    _ close: String, _ kind: TemplateToken.Kind, _ opening: TemplatePosition
  ) throws(ChatTemplate.Failure) -> (strips: Bool, keeps: Bool) {
    var depth = 0
    while true {
      skipSpace()
      guard let scalar = peek() else { throw opening.failure(.syntax, "this tag has no end") }
      if depth == 0 {
        if starts(with: close) {
          tokens.append(TemplateToken(kind: kind, position: position))
          advance(2)
          return (false, false)
        }
        if scalar == "-" || scalar == "+", starts(with: close, at: 1) {
          let strips = scalar == "-"
          tokens.append(TemplateToken(kind: kind, position: position))
          advance(3)
          return (strips, !strips)
        }
      }
      let start = position
      if isNamePart(scalar), !("0"..."9").contains(scalar) {
        var name = String.UnicodeScalarView()
        while let part = peek(), isNamePart(part) {
          name.append(part)
          advance()
        }
        tokens.append(TemplateToken(kind: .name(String(name)), position: start))
      } else if ("0"..."9").contains(scalar) {
        tokens.append(TemplateToken(kind: try number(), position: start))
      } else if scalar == "'" || scalar == "\"" {
        tokens.append(TemplateToken(kind: .string(try string(scalar)), position: start))
      } else {
        let sign = try sign()
        if "([{".contains(sign) { depth += 1 }
        if ")]}".contains(sign) { depth = max(0, depth - 1) }
        tokens.append(TemplateToken(kind: .sign(sign), position: start))
      }
    }
  }

  private mutating func sign() throws(ChatTemplate.Failure) -> String {
    for sign in ["==", "!=", "<=", ">=", "//", "**"] where starts(with: sign) {
      advance(2)
      return sign
    }
    if let scalar = peek(), "+-*/%~<>=.,:|()[]{}".unicodeScalars.contains(scalar) {
      advance()
      return String(scalar)
    }
    throw position.failure(.syntax, "a character that means nothing here")
  }

  private mutating func number() throws(ChatTemplate.Failure) -> TemplateToken.Kind {
    let start = position
    var text = ""
    var isInteger = true
    func digits(_ lexer: inout TemplateLexer) {
      while let digit = lexer.peek(), ("0"..."9").contains(digit) || digit == "_" {
        if digit != "_" { text.unicodeScalars.append(digit) }
        lexer.advance()
      }
    }
    digits(&self)
    if peek() == ".", let next = peek(1), ("0"..."9").contains(next) {
      isInteger = false
      text += "."
      advance()
      digits(&self)
    }
    if peek() == "e" || peek() == "E" {
      let signed = peek(1) == "-" || peek(1) == "+"
      if let next = peek(signed ? 2 : 1), ("0"..."9").contains(next) {
        isInteger = false
        text += "e"
        advance()
        if signed, let sign = peek() {
          text.unicodeScalars.append(sign)
          advance()
        }
        digits(&self)
      }
    }
    if isInteger, let value = Int(text) { return .integer(value) }
    if !isInteger, let value = Double(text), value.isFinite { return .number(value) }
    throw start.failure(.syntax, "a number out of range")
  }

  private mutating func string(_ quote: Unicode.Scalar) throws(ChatTemplate.Failure) -> String {
    let start = position
    advance()
    var result = String.UnicodeScalarView()
    while let scalar = peek() {
      if scalar == quote {
        advance()
        return String(result)
      }
      if scalar == "\\", let escaped = peek(1) {
        let simple: [Unicode.Scalar: Unicode.Scalar] = [
          "n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", "\"": "\"", "b": "\u{8}",
          "f": "\u{c}", "v": "\u{b}", "a": "\u{7}", "0": "\0",
        ]
        let hexLength = ["x": 2, "u": 4, "U": 8][escaped]
        if let plain = simple[escaped] {
          result.append(plain)
          advance(2)
        } else if let hexLength {
          advance(2)
          var digits = ""
          for _ in 0..<hexLength {
            if let digit = peek() {
              digits.unicodeScalars.append(digit)
              advance()
            }
          }
          guard let value = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(value) else {
            throw start.failure(.syntax, "this string has a bad escape")
          }
          result.append(scalar)
        } else if escaped == "\n" {
          advance(2)
        } else {
          result.append(scalar)
          result.append(escaped)
          advance(2)
        }
        continue
      }
      result.append(scalar)
      advance()
    }
    throw start.failure(.syntax, "this string has no end")
  }
}
