/// A set of characters named by class and by ranges of code points.
struct CharacterSet: Sendable, Equatable {
  var classes: ScalarClass = []
  /// Ascending, disjoint.
  var ranges: [ClosedRange<UInt32>] = []
  var inverted = false

  static let numbers = Self(classes: .number)
  static let spaces = Self(classes: .space)
  static let asciiDigits = Self(ranges: [0x30...0x39])
  static let lineBreaks = Self(ranges: [0x0a...0x0a, 0x0d...0x0d])

  func contains(_ value: UInt32, _ scalarClass: ScalarClass) -> Bool {
    (scalarClass.isAny(of: classes) || inRanges(value)) != inverted
  }

  private func inRanges(_ value: UInt32) -> Bool {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound < value { low = middle + 1 } else { high = middle }
    }
    return low < ranges.count && ranges[low].contains(value)
  }
}

extension ScalarText {
  /// The end of the run of `set` that begins at `i`.
  func run(_ i: Int, _ end: Int, _ set: CharacterSet) -> Int {
    var j = i
    while j < end, set.contains(values[j], classes[j]) { j += 1 }
    return j
  }

  /// The end of the run of any of `wanted` that begins at `i`.
  func run(_ i: Int, _ end: Int, of wanted: ScalarClass) -> Int {
    var j = i
    while j < end, classes[j].isAny(of: wanted) { j += 1 }
    return j
  }

  /// The end of the run of none of `unwanted` that begins at `i`.
  func run(_ i: Int, _ end: Int, notOf unwanted: ScalarClass) -> Int {
    var j = i
    while j < end, classes[j].isDisjoint(with: unwanted) { j += 1 }
    return j
  }

  func spaces(_ i: Int, _ end: Int) -> Int { run(i, end, of: .space) }

  func isLineBreak(_ i: Int) -> Bool { values[i] == 0x0a || values[i] == 0x0d }

  /// The end of the run of CR and LF, and of `/` where asked.
  func lineBreaks(_ i: Int, _ end: Int, orSlash: Bool = false) -> Int {
    var j = i
    while j < end, isLineBreak(j) || (orSlash && values[j] == 0x2f) { j += 1 }
    return j
  }

  /// `\s+(?!\S)|\s+`: all of a final run; otherwise the run but for its last character.
  func spacesBeforeWord(_ i: Int, _ end: Int) -> Int {
    let stop = spaces(i, end)
    return stop < end && stop > i + 1 ? stop - 1 : stop
  }

  /// `\s*[\r\n]+`: white space up to its last line break, or `i`.
  func spacesThroughLineBreak(_ i: Int, _ end: Int) -> Int {
    var j = spaces(i, end)
    while j > i, !isLineBreak(j - 1) { j -= 1 }
    return j
  }

  /// `'s|'t|'re|'ve|'m|'ll|'d`, of any case if asked, or `i`.
  func contraction(_ i: Int, _ end: Int, anyCase: Bool) -> Int {
    guard values[i] == 0x27, i + 1 < end else { return i }
    func letter(_ k: Int) -> UInt32 {
      let value = values[k]
      if anyCase {
        if value >= 0x41, value <= 0x5a { return value | 0x20 }
        // The long s folds to s.
        if value == 0x17f { return 0x73 }
      }
      return value
    }
    switch letter(i + 1) {
    case 0x73, 0x74, 0x6d, 0x64: return i + 2  // s t m d
    case 0x72, 0x76:  // re ve
      return i + 2 < end && letter(i + 2) == 0x65 ? i + 3 : i
    case 0x6c:  // ll
      return i + 2 < end && letter(i + 2) == 0x6c ? i + 3 : i
    default: return i
    }
  }
}
