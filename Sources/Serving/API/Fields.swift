import Tokenizers

/// Reads a JSON object field by field, with errors that name the field by its path.
///
/// A field that is `null` counts as absent. ``finish()`` refuses what nobody asked for, so that a
/// field is never silently ignored.
struct Fields {
  /// Where the object lies in the request; empty for the request itself.
  let path: String
  private let members: [JSON.Member]
  private var known: Set<String> = []

  init(_ json: JSON, at path: String = "") throws(APIError) {
    guard case .object(let members) = json else {
      throw .invalid(
        path.isEmpty ? nil : path,
        path.isEmpty
          ? "the request's body is \(json.kind); expected an object"
          : "'\(path)' is \(json.kind); expected an object")
    }
    self.path = path
    self.members = members
  }

  /// The path of a field of this object.
  func path(of name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

  /// The field's value, or nil where it is absent or null.
  mutating func value(_ name: String) -> JSON? {
    known.insert(name)
    let value = members.last { $0.name == name }?.value
    return value == .null ? nil : value
  }

  func wrong(_ name: String, _ value: JSON, _ expected: String) -> APIError {
    .invalid(path(of: name), "'\(path(of: name))' is \(value.brief); expected \(expected)")
  }

  func missing(_ name: String) -> APIError {
    .invalid(
      path(of: name), "'\(path(of: name))' is missing", code: "missing_required_parameter")
  }

  mutating func string(_ name: String) throws(APIError) -> String? {
    guard let value = value(name) else { return nil }
    guard case .string(let text) = value else { throw wrong(name, value, "a string") }
    return text
  }

  mutating func bool(_ name: String) throws(APIError) -> Bool? {
    guard let value = value(name) else { return nil }
    guard case .bool(let flag) = value else { throw wrong(name, value, "true or false") }
    return flag
  }

  mutating func integer(_ name: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
    guard let value = value(name) else { return nil }
    let whole: Int? =
      switch value {
      case .integer(let whole): whole
      // JSON has one kind of number: 16.0 is 16.
      case .number(let number): Int(exactly: number)
      default: nil
      }
    guard let whole, range.contains(whole) else {
      throw wrong(name, value, range.words)
    }
    return whole
  }

  /// A number that `isValid` accepts.
  mutating func number(
    _ name: String, _ expected: String, where isValid: (Double) -> Bool
  ) throws(APIError) -> Float? {
    guard let value = value(name) else { return nil }
    guard let number = value.double, isValid(number), Float(number).isFinite else {
      throw wrong(name, value, expected)
    }
    return Float(number)
  }

  mutating func array(_ name: String) throws(APIError) -> [JSON]? {
    guard let value = value(name) else { return nil }
    guard case .array(let items) = value else { throw wrong(name, value, "an array") }
    return items
  }

  mutating func fields(_ name: String) throws(APIError) -> Fields? {
    guard let value = value(name) else { return nil }
    return try Fields(value, at: path(of: name))
  }

  mutating func choice(_ name: String, of names: [String]) throws(APIError) -> String? {
    guard let value = value(name) else { return nil }
    guard case .string(let text) = value, names.contains(text) else {
      throw wrong(name, value, names.map { "\"\($0)\"" }.joined(separator: ", "))
    }
    return text
  }

  /// Refuses a field that this server knows but cannot honour, unless its value asks for nothing.
  mutating func refuse(_ name: String, unless harmless: JSON..., because reason: String)
    throws(APIError)
  {
    guard let value = value(name), !harmless.contains(value) else { return }
    throw .unsupported(path(of: name), "'\(path(of: name))' is not supported: \(reason)")
  }

  /// Throws where the object has a field that was never asked for.
  func finish() throws(APIError) {
    for member in members where !known.contains(member.name) {
      throw .unknown(path(of: member.name.brief))
    }
  }
}

extension JSON {
  /// The value's kind, for messages.
  var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer, .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }

  /// A number or flag as it is, anything longer by its kind, for messages.
  var brief: String {
    switch self {
    case .bool, .integer, .number: text
    case .string(let value) where value.utf8.count <= 32: text
    default: kind
    }
  }

  /// A 32-bit number with no more digits than it has.
  init(_ value: Float) {
    self = .number(Double(value.description) ?? Double(value))
  }
}

extension String {
  /// The beginning, for messages.
  var brief: String { utf8.count <= 64 ? self : String(prefix(48)) + "…" }
}

extension ClosedRange<Int> {
  fileprivate var words: String {
    upperBound == .max
      ? "an integer of at least \(lowerBound)" : "an integer from \(lowerBound) to \(upperBound)"
  }
}
