/// A set of Unicode scalar values, as sorted ranges with gaps between them.
struct ScalarSet: Equatable, Hashable, Sendable {
  private(set) var ranges: [ClosedRange<UInt32>] = []

  /// Every scalar value; surrogates are none.
  static let all = ScalarSet([0...0xd7ff, 0xe000...0x10ffff])

  init() {}

  init(_ ranges: [ClosedRange<UInt32>]) {
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = self.ranges.last, range.lowerBound <= last.upperBound &+ 1 {
        self.ranges[self.ranges.count - 1] =
          last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        self.ranges.append(range)
      }
    }
  }

  init(_ scalar: Unicode.Scalar) { ranges = [scalar.value...scalar.value] }

  init(_ text: String) { self.init(text.unicodeScalars.map { $0.value...$0.value }) }

  var isEmpty: Bool { ranges.isEmpty }

  func contains(_ value: UInt32) -> Bool { ranges.contains { $0.contains(value) } }

  func union(_ other: ScalarSet) -> ScalarSet { ScalarSet(ranges + other.ranges) }

  func intersection(_ other: ScalarSet) -> ScalarSet {
    var result: [ClosedRange<UInt32>] = []
    var i = 0
    var j = 0
    while i < ranges.count, j < other.ranges.count {
      let low = max(ranges[i].lowerBound, other.ranges[j].lowerBound)
      let high = min(ranges[i].upperBound, other.ranges[j].upperBound)
      if low <= high { result.append(low...high) }
      if ranges[i].upperBound < other.ranges[j].upperBound { i += 1 } else { j += 1 }
    }
    return ScalarSet(result)
  }

  /// The scalar values that are not in the set.
  var complement: ScalarSet {
    var result: [ClosedRange<UInt32>] = []
    var next: UInt32 = 0
    for range in ranges {
      if range.lowerBound > next { result.append(next...range.lowerBound - 1) }
      next = range.upperBound + 1
    }
    if next <= 0x10ffff { result.append(next...0x10ffff) }
    return ScalarSet(result).intersection(.all)
  }

  func subtracting(_ other: ScalarSet) -> ScalarSet { intersection(other.complement) }
}

extension ScalarSet {
  /// The well-formed UTF-8 sequences of the set's scalars, as sequences of ranges of bytes.
  var utf8Sequences: [[ClosedRange<UInt8>]] {
    // Scalars of the same length in bytes, without surrogates (Unicode, table 3-7).
    let pieces: [ClosedRange<UInt32>] = [
      0...0x7f, 0x80...0x7ff, 0x800...0xd7ff, 0xe000...0xffff, 0x10000...0x10ffff,
    ]
    var result: [[ClosedRange<UInt8>]] = []
    for range in ranges {
      for piece in pieces where range.overlaps(piece) {
        let part = range.clamped(to: piece)
        Self.split(
          Self.encode(part.lowerBound)[...], Self.encode(part.upperBound)[...], after: [],
          into: &result)
      }
    }
    return result
  }

  private static func encode(_ value: UInt32) -> [UInt8] {
    func tail(_ shift: UInt32) -> UInt8 {
      UInt8(truncatingIfNeeded: 0x80 | (value >> shift & 0x3f))
    }
    switch value {
    case 0..<0x80: return [UInt8(truncatingIfNeeded: value)]
    case 0x80..<0x800: return [UInt8(truncatingIfNeeded: 0xc0 | value >> 6), tail(0)]
    case 0x800..<0x10000:
      return [UInt8(truncatingIfNeeded: 0xe0 | value >> 12), tail(6), tail(0)]
    default:
      return [UInt8(truncatingIfNeeded: 0xf0 | value >> 18), tail(12), tail(6), tail(0)]
    }
  }

  /// Cuts a range of sequences of one length into boxes: every byte's range free of the others'.
  private static func split(
    _ low: ArraySlice<UInt8>, _ high: ArraySlice<UInt8>, after prefix: [ClosedRange<UInt8>],
    into result: inout [[ClosedRange<UInt8>]]
  ) {
    guard var first = low.first, var last = high.first else {
      result.append(prefix)
      return
    }
    let (lowRest, highRest) = (low.dropFirst(), high.dropFirst())
    if first == last {
      split(lowRest, highRest, after: prefix + [first...first], into: &result)
      return
    }
    let least = lowRest.map { _ in UInt8(0x80) }
    let most = lowRest.map { _ in UInt8(0xbf) }
    if !lowRest.elementsEqual(least) {
      split(lowRest, most[...], after: prefix + [first...first], into: &result)
      first += 1
    }
    let cutsHigh = !highRest.elementsEqual(most)
    if cutsHigh { last -= 1 }
    if first <= last {
      result.append(prefix + [first...last] + least.map { _ in 0x80...0xbf })
    }
    if cutsHigh {
      split(least[...], highRest, after: prefix + [last + 1...last + 1], into: &result)
    }
  }
}
