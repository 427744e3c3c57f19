public import Tensors

extension GGUFFile {
  /// What is wrong with a GGUF file, and where.
  public struct Malformed: Error, Hashable {
    /// The file's path.
    public let path: String
    /// Where in the file the field at fault starts, in bytes.
    public let offset: Int
    /// What is wrong there.
    public let problem: Problem

    /// The ways a file can be wrong.
    public enum Problem: Hashable, Sendable {
      /// The file does not start with `GGUF`.
      case notGGUF
      /// The file was written for a big-endian machine.
      case bigEndian
      /// A version other than 2 and 3.
      case version(UInt32)
      /// Something is longer, or more numerous, than the rest of the file can hold.
      case truncated(_ what: String, needed: UInt64, _ available: Int)
      /// A name longer than the specification allows.
      case nameTooLong(_ what: String, Int)
      /// A name that is empty or not UTF-8.
      case invalidName(_ what: String)
      /// A metadata type code that the specification does not have.
      case unknownValueType(_ what: String, UInt32)
      /// A list of lists.
      case nestedArray(_ what: String)
      /// Two metadata entries of the same key.
      case duplicateKey(String)
      /// Two tensors of the same name.
      case duplicateTensor(String)
      /// `general.alignment` is no power of two from 8 to 1,048,576.
      case alignment(Int?)
      /// More dimensions than the specification allows.
      case tooManyDimensions(tensor: String, UInt32)
      /// A dimension of size 0, or too large to count.
      case dimension(tensor: String, UInt64)
      /// A tensor type code that this project does not read.
      case unknownTensorType(tensor: String, UInt32)
      /// Rows are no whole number of blocks, or the product of the sizes overflows.
      case shape(tensor: String, shape: [Int], ElementType)
      /// A tensor whose offset is no multiple of the alignment.
      case misaligned(tensor: String, offset: UInt64, alignment: Int)
      /// A tensor that does not end inside the file.
      case outsideData(tensor: String, offset: UInt64, byteCount: Int, available: Int)
      /// The metadata lacks a key that is needed.
      case missingKey(String)
      /// A metadata value is of another type than needed.
      case wrongType(key: String, found: GGUFValueType, expected: String)
    }
  }
}

extension GGUFFile.Malformed: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String { "\(path): byte \(offset): \(problem)" }
}

extension GGUFFile.Malformed.Problem: CustomStringConvertible {
  /// What is wrong and what was expected.
  public var description: String {
    switch self {
    case .notGGUF: "no GGUF file: expected it to start with the four bytes GGUF"
    case .bigEndian: "a big-endian GGUF file; only little-endian files are read"
    case .version(let version): "GGUF version \(version); expected 2 or 3"
    case .truncated(let what, let needed, let available):
      "\(what) asks for \(needed), but the rest of the file holds at most \(available)"
    case .nameTooLong(let what, let length):
      "\(what) has \(length) bytes; at most \(GGUFFile.maximumNameLength) are allowed"
    case .invalidName(let what): "\(what) is empty or not UTF-8"
    case .unknownValueType(let what, let code): "\(what) has type code \(code); expected 0 to 12"
    case .nestedArray(let what): "\(what) is a list of lists; expected a list of plain values"
    case .duplicateKey(let key): "the metadata key \(key) occurs twice"
    case .duplicateTensor(let name): "the tensor \(name) occurs twice"
    case .alignment(let value):
      "general.alignment is \(value.map(String.init) ?? "no integer"); "
        + "expected a power of two from 8 to 1048576"
    case .tooManyDimensions(let tensor, let count):
      "tensor \(tensor) has \(count) dimensions; at most \(GGUFFile.maximumDimensions) are allowed"
    case .dimension(let tensor, let size):
      "tensor \(tensor) has a dimension of size \(size); expected 1 to \(Int.max)"
    case .unknownTensorType(let tensor, let code):
      "tensor \(tensor) has type code \(code)"
        + (GGUFTensorType.unsupportedNames[code].map { " (\($0))" } ?? "")
        + ", which is not supported; supported are "
        + GGUFTensorType.codes.map(\.type.rawValue).joined(separator: ", ")
    case .shape(let tensor, let shape, let type):
      "tensor \(tensor) has shape \(shape) in \(type.rawValue); expected rows of whole blocks of "
        + "\(type.blockLength) elements and a size that can be counted"
    case .misaligned(let tensor, let offset, let alignment):
      "tensor \(tensor) has data offset \(offset); expected a multiple of \(alignment)"
    case .outsideData(let tensor, let offset, let byteCount, let available):
      "tensor \(tensor) has \(byteCount) bytes at data offset \(offset), "
        + "but the file's data ends at \(available)"
    case .missingKey(let key): "the metadata has no key \(key)"
    case .wrongType(let key, let found, let expected):
      "the metadata key \(key) is of type \(found); expected \(expected)"
    }
  }
}
