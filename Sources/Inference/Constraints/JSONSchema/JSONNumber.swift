/// The spellings of JSON numbers.
enum JSONNumber {
  private static let digit = Expression.characters(ScalarSet([0x30...0x39]))
  private static let nonzero = Expression.characters(ScalarSet([0x31...0x39]))

  /// The most digits of an integer without bounds: every such number fits 64 bits.
  static let mostDigits = 18

  private static func digits(_ min: Int, _ max: Int) -> Expression {
    .repeated(digit, min: min, max: max)
  }

  private static let whole = Expression.choice([
    .text("0"), .sequence([nonzero, digits(0, mostDigits - 1)]),
  ])

  /// Any integer of at most `mostDigits` digits.
  static let anyInteger = Expression.sequence([.optional(.text("-")), whole])

  /// Any number, with a fraction of at most 16 digits and an exponent of at most two.
  static let anyNumber = Expression.sequence([
    anyInteger, .optional(.sequence([.text("."), digits(1, 16)])),
    .optional(
      .sequence([
        .characters(ScalarSet("eE")), .optional(.characters(ScalarSet("+-"))), digits(1, 2),
      ])),
  ])
}
