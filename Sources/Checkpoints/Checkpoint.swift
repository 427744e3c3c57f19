/// A set of named tensors in a file or a folder of files.
public protocol Checkpoint: Sendable {
  /// The names of all tensors, in the order in which they are stored.
  var tensorNames: [String] { get }

  /// The tensor of that name, or `nil` where there is none.
  ///
  /// Nothing is copied: the tensor's bytes are the mapped file's.
  ///
  /// - Throws: where the tensor is stored in a type this project does not read.
  func tensor(named name: String) throws -> StoredTensor?
}

/// A checkpoint on disk, in whichever of the known formats it is.
public enum OpenedCheckpoint: Sendable {
  /// A GGUF file: tensors, hyperparameters and tokenizer in one.
  case gguf(GGUFFile)
  /// A folder in the layout of the Hugging Face hub, or a single safetensors file.
  case safetensors(SafetensorsFolder)

  /// Opens the file or folder at `path`, telling the format by its content.
  ///
  /// - Throws: ``MappedFile/Failure``, ``GGUFFile/Malformed``, ``SafetensorsFile/Malformed``,
  ///   ``SafetensorsFolder/Malformed`` or ``NotACheckpoint``.
  public static func open(path: String) throws -> OpenedCheckpoint {
    let file: MappedFile
    do {
      file = try MappedFile(path: path)
    } catch .isDirectory {
      return .safetensors(try SafetensorsFolder(path: path))
    }
    if file.bytes.starts(with: GGUFFile.magic) { return .gguf(try GGUFFile(file)) }
    if SafetensorsFile.looksLikeOne(file.bytes) {
      return .safetensors(try SafetensorsFolder(single: try SafetensorsFile(file)))
    }
    throw NotACheckpoint(path: path, firstBytes: Array(file.bytes.prefix(8)))
  }

  /// The tensors, whatever the format.
  public var tensors: any Checkpoint {
    switch self {
    case .gguf(let file): file
    case .safetensors(let folder): folder
    }
  }

  /// A file whose first bytes are those of no known format.
  public struct NotACheckpoint: Error, Hashable, CustomStringConvertible {
    /// The file's path.
    public let path: String
    /// Its first bytes, at most 8.
    public let firstBytes: [UInt8]

    /// What is wrong, where, and what was expected.
    public var description: String {
      let hex = firstBytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
      return "\(path): neither GGUF nor safetensors: starts with \(hex.joined(separator: " ")), "
        + "expected 47 47 55 46 (GGUF) or a header length followed by {"
    }
  }
}
