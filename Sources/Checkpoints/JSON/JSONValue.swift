/// A JSON value in memory: a model's `config.json`.
public enum JSONValue: Sendable, Hashable {
  /// `null`.
  case null
  /// A truth value.
  case bool(Bool)
  /// A number written without fraction and exponent that fits `Int`.
  case integer(Int)
  /// Any other number.
  case number(Double)
  /// A string.
  case string(String)
  /// A list.
  case array([JSONValue])
  /// An object; where a key occurs twice, the last value.
  case object([String: JSONValue])

  /// The longest text that is read, in bytes; a value in memory may take some 30 times as much.
  public static let maximumTextSize = 4 << 20

  /// A text that is not JSON, is too long or too deep.
  public struct Malformed: Error, Hashable, CustomStringConvertible {
    /// The file's path.
    public let path: String
    /// Where in the file, in bytes.
    public let offset: Int
    /// What was expected there.
    public let expected: String

    /// What is wrong, where, and what was expected.
    public var description: String { "\(path): byte \(offset): expected \(expected)" }
  }

  /// Parses a whole file.
  public init(parsing file: MappedFile) throws(Malformed) {
    guard file.bytes.count <= Self.maximumTextSize else {
      throw Malformed(
        path: file.path, offset: 0, expected: "at most \(Self.maximumTextSize) bytes of JSON")
    }
    defer { withExtendedLifetime(file) {} }
    var cursor = JSONCursor(file.bytes)
    do throws(JSONCursor.Malformed) {
      self = try Self.next(&cursor)
      try cursor.end()
    } catch {
      throw Malformed(path: file.path, offset: error.offset, expected: error.expected)
    }
  }

  private static func next(_ cursor: inout JSONCursor) throws(JSONCursor.Malformed) -> JSONValue {
    switch try cursor.kind() {
    case .null, .bool: return try cursor.literal().map { .bool($0) } ?? .null
    case .string: return .string(try cursor.string())
    case .number:
      let text = try cursor.numberText()
      if let integer = Int(text) { return .integer(integer) }
      guard let number = Double(text) else { throw cursor.malformed("a number") }
      return .number(number)
    case .array:
      var elements: [JSONValue] = []
      try cursor.array { (cursor) throws(JSONCursor.Malformed) in
        elements.append(try next(&cursor))
      }
      return .array(elements)
    case .object:
      var members: [String: JSONValue] = [:]
      try cursor.object { (cursor, key) throws(JSONCursor.Malformed) in
        members[key] = try next(&cursor)
      }
      return .object(members)
    }
  }

  /// The value of a key, or `nil` where there is none or this is no object.
  public subscript(key: String) -> JSONValue? {
    if case .object(let members) = self { members[key] } else { nil }
  }

  /// The value as an integer, where it is one.
  public var integer: Int? { if case .integer(let value) = self { value } else { nil } }

  /// The value as a number, integers included, where it is one.
  public var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The value as a truth value, where it is one.
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

  /// The value as a string, where it is one.
  public var string: String? { if case .string(let value) = self { value } else { nil } }

  /// The value as a list, where it is one.
  public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
}
