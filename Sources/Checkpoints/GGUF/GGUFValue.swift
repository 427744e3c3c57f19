/// The type of a metadata value in a GGUF file.
///
/// Raw values are the codes of the GGUF specification.
public enum GGUFValueType: UInt32, Sendable, CaseIterable, Hashable {
  case uint8 = 0
  case int8 = 1
  case uint16 = 2
  case int16 = 3
  case uint32 = 4
  case int32 = 5
  case float32 = 6
  case bool = 7
  case string = 8
  case array = 9
  case uint64 = 10
  case int64 = 11
  case float64 = 12

  /// The bytes of one value, or `nil` where values differ in size (strings and arrays).
  public var byteCount: Int? {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    case .string, .array: nil
    }
  }
}

/// A metadata value of a GGUF file.
public enum GGUFValue: Sendable {
  /// Any of the eight integer types, with the type it was stored in.
  case integer(Int, GGUFValueType)
  /// A `uint64` too large for `Int`.
  case hugeInteger(UInt64)
  /// A `float32` or `float64`.
  case float(Double, GGUFValueType)
  /// A truth value.
  case bool(Bool)
  /// A string; bytes that are not UTF-8 are replaced by U+FFFD.
  case string(String)
  /// A list of values of one type, left in the file.
  case array(GGUFArray)

  /// The type the value was stored in.
  public var type: GGUFValueType {
    switch self {
    case .integer(_, let type), .float(_, let type): type
    case .hugeInteger: .uint64
    case .bool: .bool
    case .string: .string
    case .array: .array
    }
  }

  /// The value as an integer, where it is one that fits `Int`.
  public var integer: Int? { if case .integer(let value, _) = self { value } else { nil } }

  /// The value as a number: a float, or an integer converted.
  public var number: Double? {
    switch self {
    case .float(let value, _): value
    case .integer(let value, _): Double(value)
    case .hugeInteger(let value): Double(value)
    default: nil
    }
  }

  /// The value as a truth value, where it is one.
  public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

  /// The value as a string, where it is one.
  public var string: String? { if case .string(let value) = self { value } else { nil } }

  /// The value as a list, where it is one.
  public var array: GGUFArray? { if case .array(let value) = self { value } else { nil } }
}
