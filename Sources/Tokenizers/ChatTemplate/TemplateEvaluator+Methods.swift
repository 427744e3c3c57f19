extension TemplateEvaluator {
  /// Methods of Python's strings, lists and dictionaries; nil if the value has none of this name.
  mutating func method(
    _ name: String, of receiver: TemplateValue, _ arguments: TemplateArguments,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue? {
    switch receiver {
    case .string(let text): try stringMethod(name, text, arguments, position)
    case .list(let list): try listMethod(name, list, arguments, position)
    case .dictionary(let dictionary):
      try dictionaryMethod(name, dictionary, arguments, position)
    case .loop(let loop): try loopMethod(name, loop, arguments, position)
    default: nil
    }
  }

  private mutating func stringMethod(
    _ name: String, _ text: TemplateText, _ arguments: TemplateArguments,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue? {
    try step(text.count / 8, position)
    switch name {
    case "strip", "lstrip", "rstrip":
      let characters = arguments.text(0, "chars").map { Set($0.scalars) }
      return try made(
        text.trimmed(left: name != "rstrip", right: name != "lstrip") {
          characters?.contains($0) ?? Self.isSpace($0)
        }, position)
    case "split", "rsplit":
      let most = arguments.integer(1, "maxsplit") ?? -1
      return try split(
        text, by: arguments.text(0, "sep"), most, fromEnd: name == "rsplit", position)
    case "splitlines": return newList(Self.lines(text).map { .string($0) })
    case "startswith", "endswith":
      let candidates: [TemplateValue]
      if case .list(let list) = arguments.positional.first {
        candidates = list.items
      } else {
        candidates = Array(arguments.positional.prefix(1))
      }
      for case .string(let part) in candidates {
        if name == "startswith" ? text.hasPrefix(part) : text.hasSuffix(part) { return .bool(true) }
      }
      return .bool(false)
    case "replace":
      guard let old = arguments.text(0, "old"), let new = arguments.text(1, "new") else {
        throw position.failure(.type, "replace needs two strings")
      }
      return try replace(text, old, new, arguments.integer(2, "count") ?? -1, position)
    case "upper": return try made(Self.upper(text), position)
    case "lower": return try made(Self.lower(text), position)
    case "title": return try made(Self.title(text), position)
    case "capitalize": return try made(Self.capitalized(text), position)
    case "find", "index", "rfind":
      guard let part = arguments.text(0, "sub") else {
        throw position.failure(.type, "\(name) needs a string")
      }
      var found = text.firstIndex(of: part)
      if name == "rfind" {
        while let here = found, let next = text.firstIndex(of: part, from: here + 1) {
          try step(1 + part.count / 8, position)
          found = next
        }
      }
      if found == nil, name == "index" { throw position.failure(.type, "substring not found") }
      return .integer(found ?? -1)
    case "count":
      guard let part = arguments.text(0, "sub"), !part.isEmpty else {
        return .integer(text.count + 1)
      }
      var count = 0
      var start = 0
      while let found = text.firstIndex(of: part, from: start) {
        try step(1 + part.count / 8, position)
        count += 1
        start = found + part.count
      }
      return .integer(count)
    case "format": return try formatted(text, arguments, position)
    case "join":
      let items = try elements(arguments.positional.first ?? .undefined("join"), position)
      return try joined(items, text, position)
    case "isdigit", "isnumeric", "isdecimal":
      return .bool(!text.isEmpty && text.scalars.allSatisfy { $0.properties.numericType != nil })
    case "isalpha":
      return .bool(!text.isEmpty && text.scalars.allSatisfy { ScalarClass($0).contains(.letter) })
    case "isspace": return .bool(!text.isEmpty && text.scalars.allSatisfy(Self.isSpace))
    case "removeprefix", "removesuffix":
      guard let part = arguments.positional.first, case .string(let part) = part else {
        throw position.failure(.type, "\(name) needs a string")
      }
      if name == "removeprefix", text.hasPrefix(part) {
        return try made(text[part.count..<text.count], position)
      }
      if name == "removesuffix", text.hasSuffix(part) {
        return try made(text[0..<text.count - part.count], position)
      }
      return .string(text)
    default: return nil
    }
  }

  private mutating func listMethod(
    _ name: String, _ list: TemplateValue.List, _ arguments: TemplateArguments,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue? {
    switch name {
    case "append":
      guard let value = arguments.positional.first else {
        throw position.failure(.type, "append needs a value")
      }
      insert(value, into: list, at: list.items.count)
      return .null
    case "insert":
      guard arguments.positional.count == 2, let place = arguments.positional[0].integer else {
        throw position.failure(.type, "insert needs a place and a value")
      }
      try step(list.items.count / 8, position)
      let count = list.items.count
      let index = max(0, min(count, place < 0 ? place &+ count : place))
      insert(arguments.positional[1], into: list, at: index)
      return .null
    case "extend":
      for value in try elements(arguments.positional.first ?? .undefined("extend"), position) {
        try step(position)
        insert(value, into: list, at: list.items.count)
      }
      return .null
    case "pop":
      try step(list.items.count / 8, position)
      let index = arguments.positional.first?.integer ?? -1
      let place = index < 0 ? index &+ list.items.count : index
      guard list.items.indices.contains(place) else {
        throw position.failure(.type, "pop from a list of \(list.items.count) at \(index)")
      }
      return list.items.remove(at: place)
    case "index", "count":
      var count = 0
      let wanted = arguments.positional.first ?? .undefined(name)
      for (i, item) in list.items.enumerated() where try equal(item, wanted, position) {
        if name == "index" { return .integer(i) }
        count += 1
      }
      if name == "index" { throw position.failure(.type, "the value is not in the list") }
      return .integer(count)
    default: return nil
    }
  }

  private mutating func dictionaryMethod(
    _ name: String, _ dictionary: TemplateValue.Dictionary, _ arguments: TemplateArguments,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue? {
    switch name {
    case "items":
      try step(dictionary.count, position)
      return newList(pairs(dictionary))
    case "keys": return newList(try elements(.dictionary(dictionary), position))
    case "values": return newList(dictionary.values)
    case "get", "pop", "setdefault":
      guard let key = arguments.positional.first?.key else {
        throw position.failure(.type, "\(name) needs a key")
      }
      let otherwise = arguments.value(1, "default")
      if name == "pop" {
        try step(dictionary.count, position)
        if let value = dictionary.remove(key) ?? otherwise { return value }
        throw position.failure(
          .undefined, "there is no member \(key.text.string.debugDescription)")
      }
      if let value = dictionary[key] { return value }
      if name == "setdefault" { set(key, otherwise ?? .null, in: dictionary) }
      return otherwise ?? .null
    case "update":
      if case .dictionary(let other) = arguments.positional.first {
        try step(other.count, position)
        for (key, value) in zip(other.keys, other.values) { set(key, value, in: dictionary) }
      }
      for (key, value) in arguments.named.sorted(by: { $0.key < $1.key }) {
        set(.string(TemplateText(key)), value, in: dictionary)
      }
      return .null
    case "copy":
      let copy = TemplateValue.Dictionary()
      try step(dictionary.count, position)
      for (key, value) in zip(dictionary.keys, dictionary.values) { copy.set(key, value) }
      return .dictionary(copy)
    default: return nil
    }
  }

  mutating func pairs(_ dictionary: TemplateValue.Dictionary) -> [TemplateValue] {
    var result: [TemplateValue] = []
    for (key, value) in zip(dictionary.keys, dictionary.values) {
      result.append(newList([key.value, value], isTuple: true))
    }
    return result
  }

  private mutating func loopMethod(
    _ name: String, _ loop: TemplateValue.Loop, _ arguments: TemplateArguments,
    _ position: TemplatePosition
  ) throws(Failure) -> TemplateValue? {
    switch name {
    case "cycle":
      guard !arguments.positional.isEmpty else {
        throw position.failure(.type, "cycle needs values")
      }
      return arguments.positional[loop.index % arguments.positional.count]
    case "changed":
      let now = arguments.positional
      defer { loop.lastChanged = now }
      guard let last = loop.lastChanged, last.count == now.count else { return .bool(true) }
      for (a, b) in zip(last, now) where !(try equal(a, b, position)) { return .bool(true) }
      return .bool(false)
    default: return nil
    }
  }
}
