import Tokenizers

/// A number in decimal digits, as JSON spells it, without rounding.
struct DecimalNumber: Comparable {
  var isNegative = false
  /// Without zeros at the front; empty for a number below 1.
  var whole: [UInt8] = []
  /// Without zeros at the end.
  var fraction: [UInt8] = []

  static let zero = DecimalNumber()

  /// A JSON number; nil of anything else.
  init?(_ json: JSON) {
    switch json {
    case .integer(let value): self.init(text: String(value))
    case .number(let value) where value.isFinite: self.init(text: value.description)
    default: return nil
    }
  }

  private init() {}

  /// `-12.5e-3` and the like, as `Int` and `Double` describe themselves.
  private init(text: String) {
    let parts = text.lowercased().split(separator: "e")
    let mantissa = parts.first ?? "0"
    var digits: [UInt8] = []
    var point: Int?
    for byte in mantissa.utf8 {
      switch byte {
      case UInt8(ascii: "-"): isNegative = true
      case UInt8(ascii: "."): point = digits.count
      default: digits.append(byte &- 0x30)
      }
    }
    let exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
    let place = (point ?? digits.count) + exponent
    if place < 0 { digits = Array(repeating: 0, count: -place) + digits }
    let cut = max(place, 0)
    if cut > digits.count { digits += Array(repeating: 0, count: cut - digits.count) }
    whole = Array(digits[..<cut].drop { $0 == 0 })
    fraction = Array(digits[cut...])
    while fraction.last == 0 { fraction.removeLast() }
    if whole.isEmpty && fraction.isEmpty { isNegative = false }
  }

  var isInteger: Bool { fraction.isEmpty }

  var magnitude: DecimalNumber {
    var result = self
    result.isNegative = false
    return result
  }

  var negated: DecimalNumber {
    var result = self
    result.isNegative = self != .zero && !isNegative
    return result
  }

  /// The value, where it is an integer of 64 bits.
  var integer: Int? {
    guard isInteger else { return nil }
    let digits = String(decoding: whole.map { $0 + 0x30 }, as: UTF8.self)
    return Int((isNegative ? "-" : "") + (digits.isEmpty ? "0" : digits))
  }

  static func < (a: DecimalNumber, b: DecimalNumber) -> Bool {
    if a.isNegative != b.isNegative { return a.isNegative }
    if a.isNegative { return b.magnitude < a.magnitude }
    if a.whole.count != b.whole.count { return a.whole.count < b.whole.count }
    if a.whole != b.whole { return a.whole.lexicographicallyPrecedes(b.whole) }
    return a.fraction.lexicographicallyPrecedes(b.fraction)
  }
}
