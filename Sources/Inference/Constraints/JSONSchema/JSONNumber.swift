/// The spellings of JSON numbers.
///
/// An integer has at most 18 digits and so fits 64 bits; a number a fraction of at most 16 digits.
/// Between bounds no number is spelt with an exponent.
enum JSONNumber {
  /// One end of a range.
  struct Bound {
    var value: DecimalNumber
    /// The end itself is outside.
    var isExclusive = false
  }

  /// The most digits of an integer.
  static let mostDigits = 18
  private static let mostFractionDigits = 16

  private static func digits(_ min: Int, _ max: Int?) -> Expression {
    .repeated(.characters(RegexClasses.digits), min: min, max: max)
  }

  private static func digit(_ range: ClosedRange<UInt8>) -> Expression {
    .characters(ScalarSet([UInt32(range.lowerBound) + 0x30...UInt32(range.upperBound) + 0x30]))
  }

  private static let whole = Expression.choice([
    .text("0"), .sequence([digit(1...9), digits(0, mostDigits - 1)]),
  ])

  private static let fraction = Expression.sequence([.text("."), digits(1, mostFractionDigits)])

  /// Any integer.
  static let anyInteger = Expression.sequence([.optional(.text("-")), whole])

  /// Any number, with an exponent of at most two digits.
  static let anyNumber = Expression.sequence([
    anyInteger, .optional(fraction),
    .optional(
      .sequence([
        .characters(ScalarSet("eE")), .optional(.characters(ScalarSet("+-"))), digits(1, 2),
      ])),
  ])

  /// Any number without an exponent and with at most so many digits of fraction.
  static func decimal(fractionDigits: Int) -> Expression {
    fractionDigits == 0
      ? anyInteger
      : .sequence([
        anyInteger,
        .optional(.sequence([.text("."), digits(1, min(fractionDigits, mostFractionDigits))])),
      ])
  }

  /// Integers that a number of at most four digits divides.
  static func multiples(of divisor: Int) -> Expression {
    // State 0 is before the digits, 1 after a leading zero, 2 + r at remainder r.
    var diagram = Expression.Diagram(stateCount: divisor + 2, accepting: [1, 2])
    diagram.edges.append(.init(from: 0, to: 1, label: .text("0")))
    for remainder in 0..<divisor {
      for next in 0...9 {
        let label = Expression.text(String(next))
        let to = 2 + (remainder * 10 + next) % divisor
        diagram.edges.append(.init(from: 2 + remainder, to: to, label: label))
        if remainder == 0, next > 0 {
          diagram.edges.append(.init(from: 0, to: to, label: label))
        }
      }
    }
    return .sequence([.optional(.text("-")), .diagram(diagram)])
  }

  /// Numbers, or integers alone, within bounds.
  static func range(
    from low: Bound?, to high: Bound?, integersOnly: Bool, budget: inout GrammarBudget
  ) throws(ConstraintError) -> Expression {
    var choices: [Expression] = []
    // At zero and above.
    if high.map({ $0.value >= .zero }) ?? true {
      let from = low.flatMap { $0.value >= .zero ? $0 : nil }
      choices.append(try magnitudes(from, high, integersOnly, &budget))
    }
    // Below: the magnitudes between the negated bounds.
    if low.map({ $0.value < .zero }) ?? true {
      let from =
        high.flatMap {
          $0.value < .zero ? Bound(value: $0.value.negated, isExclusive: $0.isExclusive) : nil
        }
        ?? Bound(value: .zero, isExclusive: true)
      let to = low.map { Bound(value: $0.value.negated, isExclusive: $0.isExclusive) }
      choices.append(.sequence([.text("-"), try magnitudes(from, to, integersOnly, &budget)]))
    }
    return .choice(choices)
  }

  /// Numbers without a sign between bounds that are not negative.
  private static func magnitudes(
    _ low: Bound?, _ high: Bound?, _ integersOnly: Bool, _ budget: inout GrammarBudget
  ) throws(ConstraintError) -> Expression {
    let all =
      integersOnly ? whole : .sequence([whole, .optional(fraction)])
    var result = try RuleAutomaton(regular: all, budget: &budget)
    for (bound, isUpper) in [(low, false), (high, true)] {
      guard let bound else { continue }
      let side = try RuleAutomaton(
        regular: oneSide(of: bound, isUpper: isUpper), budget: &budget)
      result = try result.intersection(side, budget: &budget)
    }
    return .regular(result)
  }

  /// Numbers on one side of a bound; how many digits there may be is said elsewhere.
  private static func oneSide(of bound: Bound, isUpper: Bool) -> Expression {
    let places = bound.value.whole.isEmpty ? [0] : bound.value.whole
    let tail = Expression.optional(.sequence([.text("."), digits(1, nil)]))
    let beyond =
      isUpper ? wholesBelow(places) : wholesAbove(places)
    return .choice([
      .sequence([beyond, tail]),
      .sequence([
        .bytes(places.map { $0 + 0x30 }),
        isUpper
          ? fractionBelow(bound.value.fraction, bound.isExclusive)
          : fractionAbove(bound.value.fraction, bound.isExclusive),
      ]),
    ])
  }

  /// Numbers without leading zeros that are larger than the digits say.
  private static func wholesAbove(_ places: [UInt8]) -> Expression {
    var choices: [Expression] = [.sequence([digit(1...9), digits(places.count, nil)])]
    for (i, place) in places.enumerated() where place < 9 {
      // The same up to here, larger here.
      choices.append(
        .sequence([
          .bytes(places[..<i].map { $0 + 0x30 }), digit(place + 1...9),
          digits(places.count - i - 1, places.count - i - 1),
        ]))
    }
    return .choice(choices)
  }

  private static func wholesBelow(_ places: [UInt8]) -> Expression {
    var choices: [Expression] = []
    if places.count > 1 {
      choices.append(.text("0"))
      choices.append(.sequence([digit(1...9), digits(0, places.count - 2)]))
    }
    for (i, place) in places.enumerated() {
      let least: UInt8 = i == 0 && places.count > 1 ? 1 : 0
      if place <= least { continue }
      choices.append(
        .sequence([
          .bytes(places[..<i].map { $0 + 0x30 }), digit(least...place - 1),
          digits(places.count - i - 1, places.count - i - 1),
        ]))
    }
    return .choice(choices)
  }

  /// What may follow the whole part of a bound, at or above its fraction.
  private static func fractionAbove(_ places: [UInt8], _ isExclusive: Bool) -> Expression {
    if places.isEmpty, !isExclusive { return .optional(.sequence([.text("."), digits(1, nil)])) }
    var choices: [Expression] = []
    for (i, place) in places.enumerated() where place < 9 {
      choices.append(
        .sequence([
          .bytes(places[..<i].map { $0 + 0x30 }), digit(place + 1...9), digits(0, nil),
        ]))
    }
    let same = Expression.bytes(places.map { $0 + 0x30 })
    choices.append(
      isExclusive
        ? .sequence([
          same, .repeated(.text("0"), min: 0, max: nil), digit(1...9), digits(0, nil),
        ])
        : .sequence([same, digits(0, nil)]))
    return .sequence([.text("."), .choice(choices)])
  }

  /// What may follow the whole part of a bound, at or below its fraction.
  private static func fractionBelow(_ places: [UInt8], _ isExclusive: Bool) -> Expression {
    let zeros = Expression.repeated(.text("0"), min: 0, max: nil)
    if places.isEmpty {
      return isExclusive
        ? .nothing : .optional(.sequence([.text("."), .repeated(.text("0"), min: 1, max: nil)]))
    }
    var choices: [Expression] = []
    for (i, place) in places.enumerated() {
      let before = Expression.bytes(places[..<i].map { $0 + 0x30 })
      if place > 0 {
        choices.append(.sequence([before, digit(0...place - 1), digits(0, nil)]))
      }
      // Shorter and the same so far: smaller, as the bound does not end in zeros.
      if i > 0 { choices.append(before) }
    }
    if !isExclusive {
      choices.append(.sequence([.bytes(places.map { $0 + 0x30 }), zeros]))
    }
    return .optional(.sequence([.text("."), .choice(choices)]))
  }
}
