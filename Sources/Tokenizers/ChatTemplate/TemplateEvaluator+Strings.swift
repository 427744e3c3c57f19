extension TemplateEvaluator {
  /// Python's idea of white space.
  static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    scalar.isASCII
      ? scalar.value == 0x20 || (0x09...0x0d).contains(scalar.value)
        || (0x1c...0x1f).contains(scalar.value)
      : scalar.properties.isWhitespace
  }

  static func upper(_ text: TemplateText) -> TemplateText {
    text.mapScalars { $0.properties.uppercaseMapping.unicodeScalars }
  }

  static func lower(_ text: TemplateText) -> TemplateText {
    text.mapScalars { $0.properties.lowercaseMapping.unicodeScalars }
  }

  static func title(_ text: TemplateText) -> TemplateText {
    var inWord = false
    return text.mapScalars { scalar in
      let isCased = scalar.properties.isCased
      defer { inWord = isCased || (inWord && scalar.properties.isCaseIgnorable && scalar != "'") }
      return inWord
        ? scalar.properties.lowercaseMapping.unicodeScalars
        : scalar.properties.titlecaseMapping.unicodeScalars
    }
  }

  static func capitalized(_ text: TemplateText) -> TemplateText {
    var isFirst = true
    return text.mapScalars { scalar in
      defer { isFirst = false }
      return isFirst
        ? scalar.properties.titlecaseMapping.unicodeScalars
        : scalar.properties.lowercaseMapping.unicodeScalars
    }
  }

  /// `str.splitlines`.
  static func lines(_ text: TemplateText) -> [TemplateText] {
    let breaks: Set<UInt32> = [0xa, 0xb, 0xc, 0xd, 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029]
    var result: [TemplateText] = []
    var start = 0
    var i = 0
    while i < text.count {
      if breaks.contains(text.scalars[i].value) {
        result.append(text[start..<i])
        if text.scalars[i] == "\r", i + 1 < text.count, text.scalars[i + 1] == "\n" { i += 1 }
        start = i + 1
      }
      i += 1
    }
    if start < text.count { result.append(text[start..<text.count]) }
    return result
  }

  mutating func split(
    _ text: TemplateText, by separator: TemplateText?, _ most: Int, fromEnd: Bool,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    if let separator, separator.isEmpty { throw position.failure(.type, "empty separator") }
    // All cuts first; then those that the limit allows, from the wanted end.
    var cuts: [Range<Int>] = []
    if let separator {
      var start = 0
      while let found = text.firstIndex(of: separator, from: start) {
        try step(1 + separator.count / 8, position)
        cuts.append(found..<found + separator.count)
        start = found + separator.count
      }
      if most >= 0 { cuts = Array(fromEnd ? cuts.suffix(most) : cuts.prefix(most)) }
      var parts: [TemplateValue] = []
      var low = 0
      for cut in cuts {
        parts.append(try made(text[low..<cut.lowerBound], position))
        low = cut.upperBound
      }
      parts.append(try made(text[low..<text.count], position))
      return newList(parts)
    }
    var words: [Range<Int>] = []
    var i = 0
    while i < text.count {
      while i < text.count, Self.isSpace(text.scalars[i]) { i += 1 }
      let start = i
      while i < text.count, !Self.isSpace(text.scalars[i]) { i += 1 }
      if i > start { words.append(start..<i) }
    }
    if most >= 0, words.count > most + 1 {
      if fromEnd {
        let rest = words[0].lowerBound..<words[words.count - most - 1].upperBound
        words = [rest] + words.suffix(most)
      } else {
        // The last part keeps its trailing white space, as in Python.
        words = Array(words.prefix(most)) + [words[most].lowerBound..<text.count]
      }
    }
    try step(words.count, position)
    return newList(words.map { .string(text[$0]) })
  }

  mutating func replace(
    _ text: TemplateText, _ old: TemplateText, _ new: TemplateText, _ most: Int,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    var result = TemplateText()
    var start = 0
    var count = 0
    if old.isEmpty {
      for i in 0...text.count where most < 0 || i <= most {
        if most < 0 || i < most { result.append(new) }
        if i < text.count { result.append(text[i..<i + 1]) }
        try step(position)
        try check(result, position)
        start = min(i + 1, text.count)
      }
    } else {
      while most < 0 || count < most, let found = text.firstIndex(of: old, from: start) {
        try step(1 + old.count / 8, position)
        result.append(text[start..<found])
        result.append(new)
        try check(result, position)
        start = found + old.count
        count += 1
      }
    }
    result.append(text[start..<text.count])
    return try made(result, position)
  }

  private func check(_ text: TemplateText, _ position: TemplatePosition) throws(Failure) {
    if text.count > limits.characters {
      throw position.failure(.limit, "a string of more than \(limits.characters) characters")
    }
  }

  mutating func joined(
    _ items: [TemplateValue], _ separator: TemplateText, _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    var result = TemplateText()
    for (i, item) in items.enumerated() {
      try step(position)
      if i > 0 { result.append(separator) }
      result.append(try string(item, position))
      try check(result, position)
    }
    return try made(result, position)
  }

  /// `str.format` with plain fields: `{}`, `{0}`, `{name}`.
  mutating func formatted(
    _ text: TemplateText, _ arguments: TemplateArguments, _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    var result = TemplateText()
    var next = 0
    var i = 0
    let scalars = text.scalars
    while i < scalars.count {
      let isBrace = scalars[i] == "{" || scalars[i] == "}"
      if isBrace, i + 1 < scalars.count, scalars[i + 1] == scalars[i] {
        result.append(text[i..<i + 1])
        i += 2
      } else if scalars[i] == "{" {
        guard let close = scalars[i...].firstIndex(of: "}") else {
          throw position.failure(.type, "format: a '{' without '}'")
        }
        let name = text[i + 1..<close].string
        let value: TemplateValue?
        if name.isEmpty {
          value = arguments.value(next, "")
          next += 1
        } else {
          value = Int(name).map { arguments.value(max(0, $0), "") } ?? arguments.named[name]
        }
        guard let value else {
          throw position.failure(.type, "format: no argument for '{\(name)}'")
        }
        result.append(try string(value, position))
        i = close + 1
      } else {
        var end = i + 1
        while end < scalars.count, scalars[end] != "{", scalars[end] != "}" { end += 1 }
        result.append(text[i..<end])
        i = end
      }
      try step(position)
      try check(result, position)
    }
    return try made(result, position)
  }

  /// Jinja's `indent` filter.
  mutating func indented(
    _ text: TemplateText, _ arguments: TemplateArguments, _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    let margin: TemplateText
    if let given = arguments.text(0, "width") {
      margin = given
    } else {
      let width = arguments.integer(0, "width") ?? 4
      try spend(max(0, width), position)
      margin = TemplateText(String(repeating: " ", count: max(0, width)))
    }
    let first = arguments.isTrue(1, "first")
    let blank = arguments.isTrue(2, "blank")
    var padded = text
    padded.append("\n")
    var result = first ? margin : TemplateText()
    for (i, line) in Self.lines(padded).enumerated() {
      try step(position)
      if i > 0 {
        result.append("\n")
        if blank || !line.isEmpty { result.append(margin) }
      }
      result.append(line)
      try check(result, position)
    }
    return try made(result, position)
  }
}
