/// The stored form of a tensor's elements.
///
/// A *block* type stores a fixed number of consecutive elements of a row together with their
/// shared scales; `blockLength` elements occupy `blockBytes` bytes. For plain types a block is one
/// element. Block layouts are those of the GGUF specification.
public enum ElementType: String, Sendable, CaseIterable, Hashable {
  case float32 = "F32"
  case float16 = "F16"
  case bfloat16 = "BF16"
  case float8E4M3 = "F8_E4M3"
  case float8E5M2 = "F8_E5M2"
  case int8 = "I8"
  case int16 = "I16"
  case int32 = "I32"
  case int64 = "I64"
  case float64 = "F64"
  case q4_0 = "Q4_0"
  case q4_1 = "Q4_1"
  case q5_0 = "Q5_0"
  case q5_1 = "Q5_1"
  case q8_0 = "Q8_0"
  case q2_K = "Q2_K"
  case q3_K = "Q3_K"
  case q4_K = "Q4_K"
  case q5_K = "Q5_K"
  case q6_K = "Q6_K"

  /// The number of consecutive elements of a row stored as one unit.
  public var blockLength: Int {
    switch self {
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: 32
    case .q2_K, .q3_K, .q4_K, .q5_K, .q6_K: 256
    default: 1
    }
  }

  /// The bytes one block occupies.
  public var blockBytes: Int {
    switch self {
    case .float32, .int32: 4
    case .float16, .bfloat16, .int16: 2
    case .float8E4M3, .float8E5M2, .int8: 1
    case .int64, .float64: 8
    case .q4_0: 18
    case .q4_1: 20
    case .q5_0: 22
    case .q5_1: 24
    case .q8_0: 34
    case .q2_K: 84
    case .q3_K: 110
    case .q4_K: 144
    case .q5_K: 176
    case .q6_K: 210
    }
  }

  /// Whether elements share scales in blocks, as GGUF's quantised types do.
  public var isQuantized: Bool { blockLength > 1 }

  /// The bytes of a row of `count` elements, or `nil` where `count` is no whole number of blocks or
  /// the product overflows.
  public func byteCount(of count: Int) -> Int? {
    guard count >= 0, count % blockLength == 0 else { return nil }
    let (bytes, overflow) = (count / blockLength).multipliedReportingOverflow(by: blockBytes)
    return overflow ? nil : bytes
  }
}
