/// A value while a template runs; lists and dictionaries are shared by reference, as in Python.
enum TemplateValue {
  final class List {
    var items: [TemplateValue]
    /// Tuples look different when written as Python writes them, and in nothing else.
    let isTuple: Bool
    init(_ items: [TemplateValue], isTuple: Bool = false) {
      self.items = items
      self.isTuple = isTuple
    }
  }

  /// What a dictionary's member is found by; strings remember their origin.
  enum Key {
    case string(TemplateText)
    case integer(Int)

    /// One spelling for each key; integers are told from strings by a character no name begins with.
    fileprivate var name: String {
      switch self {
      case .string(let text): text.string
      case .integer(let value): "\u{0}\(value)"
      }
    }

    var text: TemplateText {
      switch self {
      case .string(let text): text
      case .integer(let value): TemplateText(String(value))
      }
    }

    var value: TemplateValue {
      switch self {
      case .string(let text): .string(text)
      case .integer(let value): .integer(value)
      }
    }
  }

  /// Keeps the order of insertion.
  final class Dictionary {
    private(set) var keys: [Key] = []
    private(set) var values: [TemplateValue] = []
    private var places: [String: Int] = [:]

    var count: Int { keys.count }

    subscript(name: String) -> TemplateValue? { self[.string(TemplateText(name))] }

    subscript(key: Key) -> TemplateValue? { places[key.name].map { values[$0] } }

    func set(_ key: Key, _ value: TemplateValue) {
      let name = key.name
      if let place = places[name] {
        values[place] = value
      } else {
        places[name] = keys.count
        keys.append(key)
        values.append(value)
      }
    }

    func remove(_ key: Key) -> TemplateValue? {
      guard let place = places.removeValue(forKey: key.name) else { return nil }
      keys.remove(at: place)
      let value = values.remove(at: place)
      for (name, other) in places where other > place { places[name] = other - 1 }
      return value
    }

    func removeAll() {
      keys = []
      values = []
      places = [:]
    }
  }

  final class Macro {
    let definition: TemplateStatement.Macro
    let scope: TemplateScope
    init(_ definition: TemplateStatement.Macro, _ scope: TemplateScope) {
      self.definition = definition
      self.scope = scope
    }
  }

  final class Loop {
    let items: [TemplateValue]
    var index = 0
    var lastChanged: [TemplateValue]?
    init(_ items: [TemplateValue]) { self.items = items }
  }

  /// The name or expression that gave no value, for messages.
  case undefined(String)
  case null
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case string(TemplateText)
  case list(List)
  case dictionary(Dictionary)
  case namespace(Dictionary)
  case macro(Macro)
  case loop(Loop)
  /// A global function.
  case function(String)

  static func text(_ text: String) -> TemplateValue { .string(TemplateText(text)) }

  var isUndefined: Bool {
    if case .undefined = self { true } else { false }
  }

  /// The value as a dictionary's key, if it can be one.
  var key: Key? {
    switch self {
    case .string(let text): .string(text)
    case .integer(let value): .integer(value)
    case .bool(let value): .integer(value ? 1 : 0)
    default: nil
    }
  }

  /// Whether the value may refer to others.
  var isReference: Bool {
    switch self {
    case .undefined, .null, .bool, .integer, .number, .string, .function: false
    case .list, .dictionary, .namespace, .macro, .loop: true
    }
  }

  /// Python's truth.
  var isTrue: Bool {
    switch self {
    case .undefined, .null: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .number(let value): value != 0
    case .string(let text): !text.isEmpty
    case .list(let list): !list.items.isEmpty
    case .dictionary(let dictionary): dictionary.count > 0
    case .namespace, .macro, .loop, .function: true
    }
  }

  /// A number, with booleans as Python counts them.
  var double: Double? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  var integer: Int? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .integer(let value): value
    default: nil
    }
  }

  var typeName: String {
    switch self {
    case .undefined: "undefined"
    case .null: "none"
    case .bool: "boolean"
    case .integer: "integer"
    case .number: "float"
    case .string: "string"
    case .list: "list"
    case .dictionary: "mapping"
    case .namespace: "namespace"
    case .macro: "macro"
    case .loop: "loop"
    case .function: "function"
    }
  }
}

/// The variables of one block; inner blocks see those of outer ones.
final class TemplateScope {
  private var variables: [String: TemplateValue] = [:]
  private let parent: TemplateScope?

  init(parent: TemplateScope?) { self.parent = parent }

  func find(_ name: String) -> TemplateValue? {
    var scope: TemplateScope? = self
    while let here = scope {
      if let value = here.variables[name] { return value }
      scope = here.parent
    }
    return nil
  }

  func set(_ name: String, _ value: TemplateValue) { variables[name] = value }

  func removeAll() { variables = [:] }
}
