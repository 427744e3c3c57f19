/// A string that remembers, character by character, whether it came from the template or from the
/// user.
struct TemplateText: Sendable, Equatable {
  struct Run: Sendable, Equatable {
    var count: Int
    var isUser: Bool
  }

  private(set) var scalars: [Unicode.Scalar]
  private(set) var runs: [Run]

  var count: Int { scalars.count }
  var isEmpty: Bool { scalars.isEmpty }

  init() {
    scalars = []
    runs = []
  }

  init(_ text: some StringProtocol, isUser: Bool = false) {
    scalars = Array(text.unicodeScalars)
    runs = scalars.isEmpty ? [] : [Run(count: scalars.count, isUser: isUser)]
  }

  var string: String {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(scalars.count)
    for scalar in scalars { bytes.append(scalar) }
    return String(decoding: bytes, as: UTF8.self)
  }

  mutating func append(_ other: TemplateText) {
    scalars.append(contentsOf: other.scalars)
    for run in other.runs { appendRun(run.count, run.isUser) }
  }

  mutating func append(_ text: some StringProtocol) { append(TemplateText(text)) }

  private mutating func append(_ scalar: Unicode.Scalar, isUser: Bool) {
    scalars.append(scalar)
    appendRun(1, isUser)
  }

  private mutating func appendRun(_ count: Int, _ isUser: Bool) {
    if count == 0 { return }
    if let last = runs.last, last.isUser == isUser {
      runs[runs.count - 1].count += count
    } else {
      runs.append(Run(count: count, isUser: isUser))
    }
  }

  subscript(range: Range<Int>) -> TemplateText {
    if range == 0..<count { return self }
    var result = TemplateText()
    result.scalars = Array(scalars[range])
    var start = 0
    for run in runs {
      let end = start + run.count
      result.appendRun(
        max(0, min(end, range.upperBound) - max(start, range.lowerBound)), run.isUser)
      start = end
      if start >= range.upperBound { break }
    }
    return result
  }

  func sameCharacters(as other: TemplateText) -> Bool { scalars == other.scalars }

  /// Rewrites every character, keeping its origin.
  func mapScalars(_ transform: (Unicode.Scalar) -> some Sequence<Unicode.Scalar>) -> TemplateText {
    var result = TemplateText()
    var i = 0
    for run in runs {
      for _ in 0..<run.count {
        for scalar in transform(scalars[i]) { result.append(scalar, isUser: run.isUser) }
        i += 1
      }
    }
    return result
  }

  /// Where `pattern` first begins at or after `start`.
  ///
  /// Knuth, Morris and Pratt: linear whatever the strings.
  func firstIndex(of pattern: TemplateText, from start: Int = 0) -> Int? {
    let needle = pattern.scalars
    if needle.isEmpty { return start <= count ? start : nil }
    var borders = [0]
    borders.reserveCapacity(needle.count)
    var length = 0
    for i in needle.indices.dropFirst() {
      while length > 0, needle[i] != needle[length] { length = borders[length - 1] }
      if needle[i] == needle[length] { length += 1 }
      borders.append(length)
    }
    length = 0
    var i = start
    while i < count {
      while length > 0, scalars[i] != needle[length] { length = borders[length - 1] }
      if scalars[i] == needle[length] { length += 1 }
      i += 1
      if length == needle.count { return i - length }
    }
    return nil
  }

  func trimmed(
    left: Bool, right: Bool, where drops: (Unicode.Scalar) -> Bool
  ) -> TemplateText {
    var low = 0
    var high = count
    while left, low < high, drops(scalars[low]) { low += 1 }
    while right, high > low, drops(scalars[high - 1]) { high -= 1 }
    return self[low..<high]
  }

  func hasPrefix(_ other: TemplateText) -> Bool { scalars.starts(with: other.scalars) }

  func hasSuffix(_ other: TemplateText) -> Bool {
    scalars.reversed().starts(with: other.scalars.reversed())
  }

  func precedes(_ other: TemplateText) -> Bool {
    scalars.lexicographicallyPrecedes(other.scalars) { $0.value < $1.value }
  }

  /// The text in segments of one origin each.
  var segments: [ChatTemplate.Segment] {
    var start = 0
    return runs.map { run in
      defer { start += run.count }
      return ChatTemplate.Segment(
        text: self[start..<start + run.count].string, isUser: run.isUser)
    }
  }
}
