public import Tensors
import Glibc

/// Writes a safetensors file, whole or not at all.
///
/// The file is written beside its place, brought to the disk and renamed, so that a reader, or a
/// process killed at any moment, finds the old file or the new one.
public struct SafetensorsWriter {
  /// Texts kept in the header under `__metadata__`.
  public var metadata: [String: String] = [:]
  private var tensors: [Entry] = []

  private struct Entry {
    let name: String
    let type: ElementType
    let shape: [Int]
    let bytes: UnsafeRawBufferPointer
  }

  /// Why a file could not be written.
  public enum Failure: Error, Hashable {
    /// The format has no name for the type, or the bytes are not those of the shape.
    case tensor(String, type: ElementType, shape: [Int], bytes: Int)
    /// Two tensors have this name.
    case duplicate(String)
    /// The system refused an operation; `code` is errno.
    case system(path: String, operation: String, code: Int32)
  }

  /// A file without tensors.
  public init() {}

  /// Adds a tensor; its bytes must stay valid until `write`.
  public mutating func add(
    _ name: String, type: ElementType = .float32, shape: [Int], bytes: UnsafeRawBufferPointer
  ) throws(Failure) {
    guard let known = SafetensorsEntry.types[type.rawValue], known.type == type,
      StoredTensor.byteCount(type: type, shape: shape) == bytes.count
    else { throw .tensor(name, type: type, shape: shape, bytes: bytes.count) }
    guard !tensors.contains(where: { $0.name == name }) else { throw .duplicate(name) }
    tensors.append(Entry(name: name, type: type, shape: shape, bytes: bytes))
  }

  /// The header's text.
  private var header: String {
    var fields: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key < $1.key }
        .map { "\(Self.quoted($0.key)):\(Self.quoted($0.value))" }
      fields.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var offset = 0
    for tensor in tensors {
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      let end = offset + tensor.bytes.count
      fields.append(
        "\(Self.quoted(tensor.name)):{\"dtype\":\"\(tensor.type.rawValue)\","
          + "\"shape\":[\(shape)],\"data_offsets\":[\(offset),\(end)]}")
      offset = end
    }
    let text = "{\(fields.joined(separator: ","))}"
    // Data begin at a multiple of 64 bytes.
    return text + String(repeating: " ", count: 63 - (text.utf8.count + 8 + 63) % 64)
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case _ where scalar.value < 32:
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// Writes the file at `path`, replacing one that is there.
  public func write(to path: String) throws(Failure) {
    let temporary = "\(path).\(getpid()).part"
    func failure(_ operation: String) -> Failure {
      .system(path: temporary, operation: operation, code: errno)
    }
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw failure("create") }
    do {
      defer { close(descriptor) }
      let text = Array(header.utf8)
      let length = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) }
      var isWritten = Self.write(length + text, descriptor)
      for tensor in tensors where isWritten { isWritten = Self.write(tensor.bytes, descriptor) }
      guard isWritten, fsync(descriptor) == 0 else {
        let failure = failure("write")
        unlink(temporary)
        throw failure
      }
    }
    guard rename(temporary, path) == 0 else { throw failure("rename") }
  }

  private static func write(_ bytes: [UInt8], _ descriptor: Int32) -> Bool {
    bytes.withUnsafeBytes { write($0, descriptor) }
  }

  private static func write(_ bytes: UnsafeRawBufferPointer, _ descriptor: Int32) -> Bool {
    var rest = bytes[...]
    while !rest.isEmpty {
      let piece = UnsafeRawBufferPointer(rebasing: rest)
      let count = Glibc.write(descriptor, piece.baseAddress, min(piece.count, 1 << 30))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }
}

extension SafetensorsWriter.Failure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .tensor(let name, let type, let shape, let bytes):
      "safetensors: \(bytes) bytes are no \(type.rawValue) tensor \(name) of shape \(shape)"
    case .duplicate(let name): "safetensors: two tensors are called \(name)"
    case .system(let path, let operation, let code):
      "\(path): cannot \(operation): \(String(cString: strerror(code)))"
    }
  }
}
