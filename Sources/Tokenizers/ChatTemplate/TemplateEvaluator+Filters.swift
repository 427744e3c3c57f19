extension TemplateEvaluator {
  /// What may stand after `|`.
  mutating func filter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    switch name {
    case "default", "d":
      let replaces = value.isUndefined || (arguments.isTrue(1, "boolean") && !value.isTrue)
      return replaces ? arguments.value(0, "default_value") ?? .text("") : value
    case "safe":
      return value
    case "string": return .string(try string(value, position))
    case "trim", "upper", "lower", "title", "capitalize", "replace", "indent", "escape", "e":
      return try textFilter(name, try string(value, position), arguments, position)
    case "tojson": return try json(value, arguments, position)
    case "from_json":
      let text = try string(value, position)
      let parsed: JSON
      do throws(JSON.ParseError) {
        parsed = try JSON(parsing: text.string)
      } catch {
        throw position.failure(.type, "from_json: \(error)")
      }
      return TemplateValue(user: parsed)
    case "length", "count": return .integer(try length(value, position))
    case "int", "float", "abs", "round": return try numberFilter(name, value, arguments, position)
    case "items":
      if case .undefined = value { return newList([]) }
      guard case .dictionary(let dictionary) = value else {
        throw position.failure(.type, "a \(value.typeName) has no items")
      }
      try step(dictionary.count, position)
      return newList(pairs(dictionary))
    case "dictsort": return try sortedItems(value, arguments, position)
    default: return try sequenceFilter(name, value, arguments, position)
    }
  }

  private mutating func textFilter(
    _ name: String, _ text: TemplateText, _ arguments: TemplateArguments,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    switch name {
    case "trim":
      let characters = arguments.text(0, "chars").map { Set($0.scalars) }
      return try made(
        text.trimmed(left: true, right: true) { characters?.contains($0) ?? Self.isSpace($0) },
        position)
    case "upper": return try made(Self.upper(text), position)
    case "lower": return try made(Self.lower(text), position)
    case "title": return try made(Self.title(text), position)
    case "capitalize": return try made(Self.capitalized(text), position)
    case "replace":
      guard let old = arguments.value(0, "old"), let new = arguments.value(1, "new") else {
        throw position.failure(.type, "replace needs two strings")
      }
      return try replace(
        text, try string(old, position), try string(new, position),
        arguments.integer(2, "count") ?? -1, position)
    case "indent": return try indented(text, arguments, position)
    default:
      let entities: [Unicode.Scalar: String] = [
        "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&#34;", "'": "&#39;",
      ]
      return try made(
        text.mapScalars { (entities[$0] ?? String($0)).unicodeScalars }, position)
    }
  }

  private mutating func json(
    _ value: TemplateValue, _ arguments: TemplateArguments, _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    var writer = TemplateWriter(.json, budget: limits.characters)
    // `tojson(indent=4)`; transformers' order is ensure_ascii, indent, separators, sort_keys.
    let indent: Int? =
      if let only = arguments.positional.first?.integer, arguments.positional.count == 1,
        case .integer = arguments.positional[0]
      { only } else { arguments.integer(1, "indent") }
    if let indent {
      guard (0...64).contains(indent) else {
        throw position.failure(.limit, "an indent of \(indent); expected 0 to 64")
      }
      writer.indent = indent
      writer.itemSeparator = ","
    }
    if case .list(let list) = arguments.value(2, "separators"), list.items.count == 2 {
      writer.itemSeparator = try string(list.items[0], position).string
      writer.keySeparator = try string(list.items[1], position).string
    }
    writer.sortsKeys = arguments.isTrue(3, "sort_keys")
    writer.escapesNonASCII = arguments.named["ensure_ascii"]?.isTrue ?? false
    return .string(try write(value, writer, position))
  }

  private mutating func length(
    _ value: TemplateValue, _ position: TemplatePosition
  ) throws(Failure) -> Int {
    switch value {
    case .string(let text): return text.count
    case .list(let list): return list.items.count
    case .dictionary(let dictionary): return dictionary.count
    case .undefined: return 0
    default: throw position.failure(.type, "a \(value.typeName) has no length")
    }
  }

  private mutating func numberFilter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    switch name {
    case "int":
      if let integer = value.integer { return .integer(integer) }
      if let number = value.double {
        return Int(exactly: number.rounded(.towardZero)).map { .integer($0) } ?? .integer(0)
      }
      if case .string(let text) = value {
        let plain = text.trimmed(left: true, right: true, where: Self.isSpace).string
        let base = arguments.integer(1, "base") ?? 10
        if (2...36).contains(base), let integer = Int(plain, radix: base) {
          return .integer(integer)
        }
        if let number = Double(plain), let integer = Int(exactly: number.rounded(.towardZero)) {
          return .integer(integer)
        }
      }
      return arguments.value(0, "default") ?? .integer(0)
    case "float":
      if let number = value.double { return .number(number) }
      if case .string(let text) = value,
        let number = Double(text.trimmed(left: true, right: true, where: Self.isSpace).string)
      {
        return .number(number)
      }
      return arguments.value(0, "default") ?? .number(0)
    case "abs":
      if let integer = value.integer {
        if integer == .min { throw position.failure(.type, "an integer out of range") }
        return .integer(abs(integer))
      }
    default:
      if let number = value.double {
        let digits = max(-15, min(15, arguments.integer(0, "precision") ?? 0))
        var scale = 1.0
        for _ in 0..<abs(digits) { scale *= 10 }
        if digits < 0 { scale = 1 / scale }
        let rule: FloatingPointRoundingRule =
          switch arguments.text(1, "method")?.string {
          case "floor": .down
          case "ceil": .up
          default: .toNearestOrEven
          }
        return .number((number * scale).rounded(rule) / scale)
      }
    }
    if let number = value.double { return .number(abs(number)) }
    throw position.failure(.type, "'\(name)' needs a number, not a \(value.typeName)")
  }

  private mutating func sortedItems(
    _ value: TemplateValue, _ arguments: TemplateArguments, _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    guard case .dictionary(let dictionary) = value else {
      throw position.failure(.type, "dictsort needs a mapping, not a \(value.typeName)")
    }
    let byValue = arguments.text(1, "by")?.string == "value"
    let keys = byValue ? dictionary.values : dictionary.keys.map(\.value)
    let order = try sortedPlaces(
      keys, caseSensitive: arguments.isTrue(0, "case_sensitive"),
      descending: arguments.isTrue(2, "reverse"), position)
    let all = pairs(dictionary)
    return newList(order.map { all[$0] })
  }
}
