/// The rules of JSON (RFC 8259) that every JSON constraint uses.
///
/// White space is what serializers write: at each place one blank, or a line feed and some blanks.
/// A document without any is always allowed. Numbers keep within what 64 bits hold.
struct JSONRules {
  let value: Int
  let object: Int
  let array: Int
  /// Any string, with its quotes.
  let string: Expression
  let number: Expression
  let integer: Expression
  let space: Expression

  init(_ builder: inout GrammarBuilder) {
    let blanks = Expression.repeated(.text(" "), min: 0, max: 40)
    let tabs = Expression.repeated(.text("\t"), min: 1, max: 10)
    space = builder.add(
      "space",
      .choice([.empty, .text(" "), .sequence([.text("\n"), .choice([blanks, tabs])])]))
    string = builder.add(
      "string", Self.quoted(.repeated(JSONString.anyCharacter, min: 0, max: nil)))
    integer = builder.add("integer", JSONNumber.anyInteger)
    number = builder.add("number", JSONNumber.anyNumber)
    value = builder.declare("value")
    object = builder.declare("object")
    array = builder.declare("array")
    let member = builder.add(
      "member", .sequence([string, .text(":"), space, .rule(value)]))
    let rules = [
      .rule(object), .rule(array), string, number, .text("true"), .text("false"), .text("null"),
    ]
    builder.define(value, .choice(rules))
    builder.define(object, Self.list("{", member, "}", space: space))
    builder.define(array, Self.list("[", .rule(value), "]", space: space))
  }

  static func quoted(_ body: Expression) -> Expression {
    .sequence([.text("\""), body, .text("\"")])
  }

  /// Any number of items between brackets.
  private static func list(
    _ open: String, _ item: Expression, _ close: String, space: Expression
  ) -> Expression {
    let further = Expression.repeated(
      .sequence([.text(","), space, item]), min: 0, max: nil)
    return .sequence([
      .text(open), space,
      .choice([.text(close), .sequence([item, further, space, .text(close)])]),
    ])
  }
}

/// The characters of JSON strings.
enum JSONString {
  /// What must be escaped: the quote, the backslash and control characters.
  static let mustEscape = ScalarSet([0...0x1f, 0x22...0x22, 0x5c...0x5c])

  /// One character in any spelling that JSON has for it.
  static let anyCharacter: Expression = {
    let digit = Expression.characters(ScalarSet([0x30...0x39, 0x41...0x46, 0x61...0x66]))
    let low = Expression.sequence([
      .text("\\u"), .characters(ScalarSet("dD")), .characters(ScalarSet("cdefCDEF")), digit, digit,
    ])
    let basic = Expression.choice([
      .sequence([
        .characters(ScalarSet("dD").complement.intersection(hexDigits)), digit, digit, digit,
      ]),
      .sequence([.characters(ScalarSet("dD")), .characters(ScalarSet("01234567")), digit, digit]),
    ])
    let high = Expression.sequence([
      .characters(ScalarSet("dD")), .characters(ScalarSet("89abAB")), digit, digit, low,
    ])
    return .choice([
      .characters(mustEscape.complement),
      .sequence([.text("\\"), .characters(ScalarSet("\"\\/bfnrt"))]),
      .sequence([.text("\\u"), .choice([basic, high])]),
    ])
  }()

  private static let hexDigits = ScalarSet([0x30...0x39, 0x41...0x46, 0x61...0x66])

  /// The one spelling of a character that serializers use.
  static func spelling(of scalar: Unicode.Scalar) -> String {
    switch scalar {
    case "\"": return "\\\""
    case "\\": return "\\\\"
    case "\n": return "\\n"
    case "\r": return "\\r"
    case "\t": return "\\t"
    case "\u{8}": return "\\b"
    case "\u{c}": return "\\f"
    case "\0"..."\u{1f}":
      let digits = String(scalar.value, radix: 16)
      return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: return String(scalar)
    }
  }

  /// A string between quotes, spelt as serializers do.
  static func literal(_ text: String) -> String {
    "\"" + text.unicodeScalars.map(spelling).joined() + "\""
  }

  /// One character of a set, each in its one spelling.
  static func characters(_ set: ScalarSet) -> Expression {
    let escaped = set.intersection(mustEscape)
    var choices: [Expression] = [.characters(set.subtracting(mustEscape))]
    for range in escaped.ranges {
      for value in range {
        if let scalar = Unicode.Scalar(value) { choices.append(.text(spelling(of: scalar))) }
      }
    }
    return .choice(choices)
  }
}
