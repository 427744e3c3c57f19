extension SafetensorsFile {
  /// What is wrong with a safetensors file, and where.
  public struct Malformed: Error, Hashable {
    /// The file's path.
    public let path: String
    /// Where in the file, in bytes.
    public let offset: Int
    /// What is wrong there.
    public let problem: Problem

    /// The ways a file can be wrong.
    public enum Problem: Hashable, Sendable {
      /// Too short for the header's length.
      case tooShort(Int)
      /// The header is longer than the file or than the format allows.
      case headerLength(UInt64, available: Int)
      /// The header is not JSON of the right form.
      case json(expected: String)
      /// Two tensors of the same name.
      case duplicateTensor(String)
      /// A type name that the format does not have.
      case unknownType(tensor: String, String)
      /// A type that this project does not read; known when the tensor is asked for.
      case unsupportedType(tensor: String, String)
      /// Bytes that leave a gap, overlap, or end behind the file.
      case offsets(tensor: String, Range<Int>, expectedStart: Int, available: Int)
      /// Bytes that are not those of the shape.
      case size(tensor: String, shape: [Int], type: String, bytes: Int)
      /// Bytes after the last tensor.
      case trailingBytes(Int)
    }
  }
}

extension SafetensorsFile.Malformed: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String { "\(path): byte \(offset): \(problem)" }
}

extension SafetensorsFile.Malformed.Problem: CustomStringConvertible {
  /// What is wrong and what was expected.
  public var description: String {
    switch self {
    case .tooShort(let count): "no safetensors file: \(count) bytes; expected at least 8"
    case .headerLength(let length, let available):
      "the header's length is \(length); expected at most \(available) (the rest of the file) "
        + "and \(SafetensorsFile.maximumHeaderLength)"
    case .json(let expected): "the header is malformed: expected \(expected)"
    case .duplicateTensor(let name): "the tensor \(name) occurs twice"
    case .unknownType(let tensor, let type):
      "tensor \(tensor) has type \(type); expected one of "
        + SafetensorsEntry.types.keys.sorted().joined(separator: ", ")
    case .unsupportedType(let tensor, let type):
      "tensor \(tensor) has type \(type), which is not supported"
    case .offsets(let tensor, let offsets, let expectedStart, let available):
      "tensor \(tensor) has data_offsets [\(offsets.lowerBound), \(offsets.upperBound)]; "
        + "expected a start of \(expectedStart) and an end of at most \(available)"
    case .size(let tensor, let shape, let type, let bytes):
      "tensor \(tensor) has \(bytes) bytes, which is not the size of \(shape) in \(type)"
    case .trailingBytes(let count): "\(count) bytes follow the last tensor; expected none"
    }
  }
}
