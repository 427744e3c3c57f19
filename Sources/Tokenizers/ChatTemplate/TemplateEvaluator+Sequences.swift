extension TemplateEvaluator {
  /// Filters over the items of a value.
  mutating func sequenceFilter(
    _ name: String, _ value: TemplateValue, _ arguments: TemplateArguments,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    switch name {
    case "first", "last", "list", "reverse", "join", "sort", "unique", "min", "max", "sum", "map",
      "select", "reject", "selectattr", "rejectattr":
      break
    default: throw position.failure(.unsupported, "the filter '\(name)' is not supported")
    }
    // As in Jinja, where these are generators that look at the value's truth first.
    if ["map", "select", "reject", "selectattr", "rejectattr"].contains(name), !value.isTrue {
      return newList([])
    }
    let items = try elements(value, position)
    switch name {
    case "first": return items.first ?? .undefined("the first of no items")
    case "last": return items.last ?? .undefined("the last of no items")
    case "list": return newList(items)
    case "reverse":
      if case .string(let text) = value {
        var result = TemplateText()
        for i in text.scalars.indices.reversed() { result.append(text[i..<i + 1]) }
        return try made(result, position)
      }
      return newList(items.reversed())
    case "join":
      let parts = try keys(items, arguments.value(1, "attribute"), position)
      let separator = try string(arguments.value(0, "d") ?? .text(""), position)
      return try joined(parts, separator, position)
    case "sort":
      let keys = try keys(items, arguments.value(2, "attribute"), position)
      let order = try sortedPlaces(
        keys, caseSensitive: arguments.isTrue(1, "case_sensitive"),
        descending: arguments.isTrue(0, "reverse"), position)
      return newList(order.map { items[$0] })
    case "unique": return try unique(items, arguments, position)
    case "min", "max":
      let keys = try keys(items, arguments.value(1, "attribute"), position)
      let order = try sortedPlaces(
        keys, caseSensitive: arguments.isTrue(0, "case_sensitive"), descending: name == "max",
        position)
      return order.first.map { items[$0] } ?? .undefined("the \(name) of no items")
    case "sum":
      var total = arguments.value(1, "start") ?? .integer(0)
      for key in try keys(items, arguments.value(0, "attribute"), position) {
        total = try binary(.add, total, key, position)
      }
      return total
    case "map": return newList(try mapped(items, arguments, position))
    default: return newList(try selected(name, items, arguments, position))
    }
  }

  /// The items themselves, or an attribute of each.
  private mutating func keys(
    _ items: [TemplateValue], _ attribute: TemplateValue?, _ position: TemplatePosition
  ) throws(Failure) -> [TemplateValue] {
    guard let attribute else { return items }
    if case .null = attribute { return items }
    var result: [TemplateValue] = []
    for item in items { result.append(try member(attribute, of: item, position)) }
    return result
  }

  /// A member by a dotted path.
  private mutating func member(
    _ path: TemplateValue, of value: TemplateValue, _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    try step(position)
    var result = value
    for part in try string(path, position).string.split(separator: ".") {
      if case .undefined = result { return result }
      if let index = Int(part), case .list = result {
        result = try item(.integer(index), of: result, position)
      } else {
        result = try attribute(String(part), of: result, position)
      }
    }
    return result
  }

  private mutating func mapped(
    _ items: [TemplateValue], _ arguments: TemplateArguments, _ position: TemplatePosition
  ) throws(Failure) -> [TemplateValue] {
    var result: [TemplateValue] = []
    if let path = arguments.named["attribute"] {
      for item in items {
        let value = try member(path, of: item, position)
        result.append(value.isUndefined ? arguments.named["default"] ?? value : value)
      }
      return result
    }
    guard case .string(let name) = arguments.positional.first else {
      throw position.failure(.type, "map needs a filter's name or attribute=")
    }
    var rest = arguments
    rest.positional.removeFirst()
    for item in items {
      result.append(
        try nested(position) { evaluator throws(Failure) in
          try evaluator.filter(name.string, item, rest, position)
        })
    }
    return result
  }

  private mutating func selected(
    _ name: String, _ items: [TemplateValue], _ arguments: TemplateArguments,
    _ position: TemplatePosition
  ) throws(Failure) -> [TemplateValue] {
    var rest = arguments
    var path: TemplateValue?
    if name.hasSuffix("attr") {
      guard !rest.positional.isEmpty else {
        throw position.failure(.type, "\(name) needs an attribute's name")
      }
      path = rest.positional.removeFirst()
    }
    var condition: String?
    if case .string(let text) = rest.positional.first {
      condition = text.string
      rest.positional.removeFirst()
    }
    let keeps = name.hasPrefix("select")
    var result: [TemplateValue] = []
    for item in items {
      try step(position)
      let subject = try path.map { path throws(Failure) in try member(path, of: item, position) }
      let value = subject ?? item
      let holds =
        if let condition { try test(condition, value, rest, position) } else { value.isTrue }
      if holds == keeps { result.append(item) }
    }
    return result
  }

  private mutating func unique(
    _ items: [TemplateValue], _ arguments: TemplateArguments, _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue {
    let caseSensitive = arguments.isTrue(0, "case_sensitive")
    let keys = try keys(items, arguments.value(1, "attribute"), position)
    var seen: Set<String> = []
    var result: [TemplateValue] = []
    for (item, key) in zip(items, keys) {
      try step(position)
      let folded = folded(key, caseSensitive)
      let name = try write(folded, TemplateWriter(.python, budget: limits.characters), position)
      if seen.insert("\(folded.typeName) \(name.string)").inserted { result.append(item) }
    }
    return newList(result)
  }

  private func folded(_ value: TemplateValue, _ caseSensitive: Bool) -> TemplateValue {
    if !caseSensitive, case .string(let text) = value { return .string(Self.lower(text)) }
    return value
  }

  /// A stable merge sort: the comparison may fail, which the library's sort cannot pass on typed.
  mutating func sortedPlaces(
    _ keys: [TemplateValue], caseSensitive: Bool, descending: Bool, _ position: TemplatePosition
  ) throws(Failure) -> [Int] {
    let keys = keys.map { folded($0, caseSensitive) }
    var order = Array(keys.indices)
    var width = 1
    while width < order.count {
      var merged: [Int] = []
      merged.reserveCapacity(order.count)
      var start = 0
      while start < order.count {
        let middle = min(start + width, order.count)
        let end = min(start + 2 * width, order.count)
        var i = start
        var j = middle
        while i < middle || j < end {
          let takesRight: Bool
          if i == middle {
            takesRight = true
          } else if j == end {
            takesRight = false
          } else if descending {
            takesRight = try precedes(keys[order[i]], keys[order[j]], position)
          } else {
            takesRight = try precedes(keys[order[j]], keys[order[i]], position)
          }
          if takesRight {
            merged.append(order[j])
            j += 1
          } else {
            merged.append(order[i])
            i += 1
          }
        }
        start = end
      }
      order = merged
      width *= 2
    }
    return order
  }
}
