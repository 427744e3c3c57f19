import Tokenizers

/// A place in a schema: a subschema and the pointer to it.
struct SchemaPlace: Sendable {
  /// A JSON pointer after `#`.
  var path: String
  var json: JSON

  func appending(_ name: String, _ json: JSON) -> SchemaPlace {
    let escaped = name.replacing("~", with: "~0").replacing("/", with: "~1")
    return SchemaPlace(path: path + "/" + escaped, json: json)
  }

  /// The place of everything that its schema does not allow.
  ///
  /// `~` stands before 0 or 1 in pointers, so no other place has this path.
  var negated: SchemaPlace { SchemaPlace(path: path + "~!", json: ["not": json]) }

  func failure(_ problem: String) -> ConstraintError {
    .schema(path: path.replacing("~!/not", with: ""), problem: problem)
  }
}

/// One alternative of a schema: everything that must hold of a value at once.
///
/// A schema is a choice of branches: `anyOf` adds some, `allOf` and `$ref` combine them.
struct SchemaBranch {
  struct Types: OptionSet {
    let rawValue: UInt8
    static let null = Types(rawValue: 1)
    static let boolean = Types(rawValue: 2)
    static let integer = Types(rawValue: 4)
    /// Numbers that are not integers.
    static let fraction = Types(rawValue: 8)
    static let string = Types(rawValue: 16)
    static let array = Types(rawValue: 32)
    static let object = Types(rawValue: 64)
    static let number: Types = [.integer, .fraction]
    static let all = Types(rawValue: 127)
  }

  struct Numbers {
    var low: JSONNumber.Bound?
    var high: JSONNumber.Bound?
    var divisors: [(value: DecimalNumber, place: SchemaPlace)] = []

    var isTrivial: Bool { low == nil && high == nil && divisors.isEmpty }

    mutating func raise(_ bound: JSONNumber.Bound) {
      if let old = low, old.value > bound.value || (old.value == bound.value && old.isExclusive) {
        return
      }
      low = bound
    }

    mutating func lower(_ bound: JSONNumber.Bound) {
      if let old = high, old.value < bound.value || (old.value == bound.value && old.isExclusive) {
        return
      }
      high = bound
    }
  }

  struct Strings {
    var minLength = 0
    var maxLength: Int?
    var patterns: [(pattern: String, place: SchemaPlace)] = []
    /// Patterns that must not be found.
    var absentPatterns: [(pattern: String, place: SchemaPlace)] = []
    var formats: [String] = []

    var isTrivial: Bool {
      minLength == 0 && maxLength == nil && patterns.isEmpty && absentPatterns.isEmpty
        && formats.isEmpty
    }
  }

  struct Objects {
    var properties: [(name: String, places: [SchemaPlace])] = []
    var required: [String] = []
    /// What further members must be; nil where the schema does not say.
    var further: [SchemaPlace]?
    /// `patternProperties`.
    var patterns: [(pattern: String, place: SchemaPlace)] = []
    /// `propertyNames`.
    var names: [SchemaPlace] = []
    var minCount = 0
    var maxCount: Int?
    /// Some keyword about objects was there.
    var isMentioned = false

    func places(of name: String) -> [SchemaPlace]? {
      properties.first { $0.name == name }?.places
    }

    /// Whether members that no keyword names are forbidden by the schema itself.
    var forbidsFurther: Bool { further?.contains { $0.json == .bool(false) } ?? false }

    /// Whether such members are generated.
    var isOpen: Bool {
      if let further { return !further.contains { $0.json == .bool(false) } }
      return patterns.isEmpty
        && properties.allSatisfy { $0.places.contains { $0.json == .bool(false) } }
    }
  }

  struct Arrays {
    var prefix: [[SchemaPlace]] = []
    /// What items after the prefix must be; nil where the schema does not say.
    var items: [SchemaPlace]?
    var minCount = 0
    var maxCount: Int?
    var isMentioned = false

    var forbidsItems: Bool { items?.contains { $0.json == .bool(false) } ?? false }

    func places(at index: Int) -> [SchemaPlace] {
      index < prefix.count ? prefix[index] : items ?? []
    }
  }

  /// What the schema says of types; nil where it does not.
  var types: Types?
  /// The values of `enum` and `const`.
  var literals: [JSON]?
  /// Values that are not allowed: neither arrays nor objects.
  var excluded: [JSON] = []
  var numbers = Numbers()
  var strings = Strings()
  var objects = Objects()
  var arrays = Arrays()

  /// The types of the values that are generated: without `type`, those that other keywords are about.
  var generatedTypes: Types {
    if let types { return types }
    if literals != nil { return .all }
    var mentioned: Types = []
    if !numbers.isTrivial { mentioned.formUnion(.number) }
    if !strings.isTrivial { mentioned.insert(.string) }
    if objects.isMentioned { mentioned.insert(.object) }
    if arrays.isMentioned { mentioned.insert(.array) }
    return mentioned.isEmpty ? .all : mentioned
  }

  /// Whether every value is as good as any other.
  var isAnything: Bool {
    types ?? .all == .all && literals == nil && excluded.isEmpty && numbers.isTrivial
      && strings.isTrivial
      && !objects.isMentioned && !arrays.isMentioned
  }

  /// The strings among the values that are not allowed.
  var excludedTexts: [String] {
    excluded.compactMap { if case .string(let text) = $0 { text } else { nil } }
  }

  static func types(of value: JSON) -> Types {
    switch value {
    case .null: .null
    case .bool: .boolean
    case .integer: .integer
    case .number(let number): number == number.rounded() ? .integer : .fraction
    case .string: .string
    case .array: .array
    case .object: .object
    }
  }
}

extension SchemaBranch {
  /// What both demand at once.
  ///
  /// - Parameter place: where the two come together, for errors.
  func intersection(
    _ other: SchemaBranch, at place: SchemaPlace
  ) throws(ConstraintError) -> SchemaBranch {
    var result = self
    if let types = other.types { result.types = (self.types ?? .all).intersection(types) }
    if let literals = other.literals {
      result.literals =
        self.literals?.filter { own in literals.contains { $0.isSame(as: own) } }
        ?? literals
    }
    result.excluded += other.excluded
    if let low = other.numbers.low { result.numbers.raise(low) }
    if let high = other.numbers.high { result.numbers.lower(high) }
    result.numbers.divisors += other.numbers.divisors
    result.strings.minLength = max(strings.minLength, other.strings.minLength)
    result.strings.maxLength = Self.least(strings.maxLength, other.strings.maxLength)
    result.strings.patterns += other.strings.patterns
    result.strings.absentPatterns += other.strings.absentPatterns
    result.strings.formats += other.strings.formats.filter { !strings.formats.contains($0) }
    result.objects = try objects.intersection(other.objects, at: place)
    result.arrays = arrays.intersection(other.arrays)
    return result
  }

  static func least(_ a: Int?, _ b: Int?) -> Int? {
    guard let a, let b else { return a ?? b }
    return min(a, b)
  }
}

extension SchemaBranch.Objects {
  fileprivate func intersection(
    _ other: Self, at place: SchemaPlace
  ) throws(ConstraintError) -> Self {
    if !isMentioned { return other }
    if !other.isMentioned { return self }
    if !patterns.isEmpty || !other.patterns.isEmpty {
      throw place.failure("patternProperties cannot be combined with other keywords about objects")
    }
    var result = Self()
    result.isMentioned = true
    for (name, places) in properties {
      result.properties.append((name, places + (other.places(of: name) ?? other.further ?? [])))
    }
    for (name, places) in other.properties where self.places(of: name) == nil {
      result.properties.append((name, (further ?? []) + places))
    }
    result.names = names + other.names
    result.required = required + other.required.filter { !required.contains($0) }
    result.further =
      further == nil && other.further == nil ? nil : (further ?? []) + (other.further ?? [])
    result.minCount = max(minCount, other.minCount)
    result.maxCount = SchemaBranch.least(maxCount, other.maxCount)
    return result
  }
}

extension SchemaBranch.Arrays {
  fileprivate func intersection(_ other: Self) -> Self {
    if !isMentioned { return other }
    if !other.isMentioned { return self }
    var result = Self()
    result.isMentioned = true
    for index in 0..<max(prefix.count, other.prefix.count) {
      result.prefix.append(places(at: index) + other.places(at: index))
    }
    result.items = items == nil && other.items == nil ? nil : (items ?? []) + (other.items ?? [])
    result.minCount = max(minCount, other.minCount)
    result.maxCount = SchemaBranch.least(maxCount, other.maxCount)
    return result
  }
}

extension JSON {
  /// Equality of JSON Schema: numbers by value, objects without order.
  func isSame(as other: JSON) -> Bool {
    switch (self, other) {
    case (.array(let a), .array(let b)):
      return a.count == b.count && zip(a, b).allSatisfy { $0.isSame(as: $1) }
    case (.object(let a), .object(let b)):
      let names = Set(a.map(\.name))
      return names == Set(b.map(\.name))
        && names.allSatisfy { name in
          guard let x = self[name], let y = other[name] else { return false }
          return x.isSame(as: y)
        }
    default:
      if let a = DecimalNumber(self), let b = DecimalNumber(other) { return a == b }
      return self == other
    }
  }
}
