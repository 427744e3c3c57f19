extension TemplateValue {
  /// The roles that templates build control tokens from: `<|` + role + `|>`.
  private static let roles: Set<String> = ["system", "developer", "user", "assistant", "tool"]

  /// A value handed in from outside: every string in it, keys included, is the user's.
  ///
  /// But for a known role: it is one of a few words that say nothing of the user's, and a control
  /// token still needs all its other characters from the template.
  init(user json: JSON) {
    switch json {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .integer(let value): self = .integer(value)
    case .number(let value): self = .number(value)
    case .string(let text): self = .string(TemplateText(text, isUser: true))
    case .array(let items): self = .list(List(items.map { TemplateValue(user: $0) }))
    case .object(let members):
      let dictionary = Dictionary()
      for member in members {
        let name = TemplateText(member.name, isUser: true)
        if member.name == "role", case .string(let role) = member.value, Self.roles.contains(role) {
          dictionary.set(.string(name), .string(TemplateText(role)))
        } else {
          dictionary.set(.string(name), TemplateValue(user: member.value))
        }
      }
      self = .dictionary(dictionary)
    }
  }
}

/// Writes values as text, keeping the origin of every string inside.
struct TemplateWriter {
  enum Style { case python, json }

  static let deepestNesting = 100

  var style: Style
  /// Spaces a level, or nil for one line.
  var indent: Int?
  var itemSeparator = ", "
  var keySeparator = ": "
  var sortsKeys = false
  var escapesNonASCII = false
  /// Characters that may still be written.
  var budget: Int
  private(set) var text = TemplateText()
  private(set) var problem: (ChatTemplate.Failure.Kind, String)?

  init(_ style: Style, budget: Int) {
    self.style = style
    self.budget = budget
  }

  mutating func write(_ value: TemplateValue, depth: Int = 0) {
    if problem != nil { return }
    if depth > Self.deepestNesting {
      problem = (.limit, "a value of more than \(Self.deepestNesting) levels")
      return
    }
    if text.count > budget {
      problem = (.limit, "more text than the limit allows")
      return
    }
    switch value {
    case .undefined(let name):
      if style == .json { problem = (.undefined, "'\(name)' is undefined") }
    case .null: text.append(style == .json ? "null" : "None")
    case .bool(let value):
      text.append(style == .json ? (value ? "true" : "false") : (value ? "True" : "False"))
    case .integer(let value): text.append(String(value))
    case .number(let value): text.append(Self.python(value))
    case .string(let string):
      text.append(style == .json ? quotedJSON(string) : Self.quotedPython(string))
    case .list(let list): writeList(list, depth)
    case .dictionary(let dictionary): writeDictionary(dictionary, depth)
    case .namespace, .macro, .loop, .function:
      if style == .json {
        problem = (.type, "a \(value.typeName) cannot be written as JSON")
      } else {
        text.append("<\(value.typeName)>")
      }
    }
  }

  private mutating func writeList(_ list: TemplateValue.List, _ depth: Int) {
    let items = list.items
    let isTuple = list.isTuple && style == .python
    text.append(isTuple ? "(" : "[")
    for (i, item) in items.enumerated() {
      if i > 0 { text.append(itemSeparator) }
      breakLine(depth + 1)
      write(item, depth: depth + 1)
      if problem != nil { return }
    }
    if !items.isEmpty { breakLine(depth) }
    text.append(isTuple ? (items.count == 1 ? ",)" : ")") : "]")
  }

  private mutating func writeDictionary(_ dictionary: TemplateValue.Dictionary, _ depth: Int) {
    text.append("{")
    var order = Array(dictionary.keys.indices)
    if sortsKeys {
      order.sort { dictionary.keys[$0].text.precedes(dictionary.keys[$1].text) }
    }
    for (i, place) in order.enumerated() {
      if i > 0 { text.append(itemSeparator) }
      breakLine(depth + 1)
      let key = dictionary.keys[place]
      write(style == .json ? .string(key.text) : key.value, depth: depth + 1)
      text.append(keySeparator)
      write(dictionary.values[place], depth: depth + 1)
      if problem != nil { return }
    }
    if dictionary.count > 0 { breakLine(depth) }
    text.append("}")
  }

  private mutating func breakLine(_ depth: Int) {
    guard style == .json, let indent else { return }
    text.append("\n" + String(repeating: " ", count: indent * depth))
  }

  private func quotedJSON(_ string: TemplateText) -> TemplateText {
    var result = TemplateText("\"")
    result.append(string.mapScalars(escapedJSON))
    result.append("\"")
    return result
  }

  private func escapedJSON(_ scalar: Unicode.Scalar) -> String.UnicodeScalarView {
    switch scalar {
    case "\"": return "\\\"".unicodeScalars
    case "\\": return "\\\\".unicodeScalars
    case "\n": return "\\n".unicodeScalars
    case "\r": return "\\r".unicodeScalars
    case "\t": return "\\t".unicodeScalars
    case "\u{8}": return "\\b".unicodeScalars
    case "\u{c}": return "\\f".unicodeScalars
    default:
      if scalar.value >= 0x20, !escapesNonASCII || scalar.value < 0x7f {
        return String(scalar).unicodeScalars
      }
      var result = ""
      for unit in UTF16.encode(scalar) ?? .init() {
        let digits = String(unit, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }
      return result.unicodeScalars
    }
  }

  /// `repr` of a string.
  static func quotedPython(_ string: TemplateText) -> TemplateText {
    let double = string.scalars.contains("'") && !string.scalars.contains("\"")
    let quote: Unicode.Scalar = double ? "\"" : "'"
    var result = TemplateText(String(quote))
    result.append(
      string.mapScalars { scalar in
        switch scalar {
        case quote: return "\\\(quote)".unicodeScalars
        case "\\": return "\\\\".unicodeScalars
        case "\n": return "\\n".unicodeScalars
        case "\r": return "\\r".unicodeScalars
        case "\t": return "\\t".unicodeScalars
        default:
          if scalar.value < 0x20 || scalar.value == 0x7f {
            let digits = String(scalar.value, radix: 16)
            return ("\\x" + (digits.count < 2 ? "0" : "") + digits).unicodeScalars
          }
          return String(scalar).unicodeScalars
        }
      })
    result.append(String(quote))
    return result
  }

  /// `repr` of a float.
  static func python(_ value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    var text = "\(value)"
    if let mark = text.firstIndex(of: "e") {
      // Python writes 1e+16 and 1.5e-07.
      var mantissa = String(text[..<mark])
      if mantissa.hasSuffix(".0") { mantissa.removeLast(2) }
      let exponent = Int(text[text.index(after: mark)...]) ?? 0
      let digits = String(abs(exponent))
      text = mantissa + "e" + (exponent < 0 ? "-" : "+") + (digits.count < 2 ? "0" : "") + digits
    }
    return text
  }
}
