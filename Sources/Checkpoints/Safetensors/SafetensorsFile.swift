import Tensors

/// One safetensors file: a JSON header and tensors, read where they lie.
///
/// Opening trusts nothing of the header: its length is bounded by the file and by 100 MB, and the
/// tensors must fill the data exactly, without gap or overlap, as the format demands.
/// Format: <https://huggingface.co/docs/safetensors>.
public final class SafetensorsFile: Checkpoint {
  /// The mapped file.
  public let file: MappedFile
  /// The free-form `__metadata__` of the header.
  public let metadata: [String: String]
  /// The names of all tensors, in the order of their data.
  public let tensorNames: [String]

  private let entries: [String: SafetensorsEntry]
  private let dataStart: Int

  /// Maps and reads the file at `path`.
  ///
  /// - Throws: ``MappedFile/Failure`` or ``Malformed``.
  public convenience init(path: String) throws {
    try self.init(MappedFile(path: path))
  }

  /// Reads the header of a mapped file.
  public init(_ file: MappedFile) throws(Malformed) {
    let header = try SafetensorsHeader(file)
    let ordered = try header.entriesInOrder()
    self.file = file
    metadata = header.metadata
    dataStart = header.dataStart
    entries = header.entries
    tensorNames = ordered
  }

  /// The tensor of that name, or `nil` where there is none.
  ///
  /// - Throws: ``Malformed`` where it is stored in a type that this project does not read.
  public func tensor(named name: String) throws(Malformed) -> StoredTensor? {
    guard let entry = entries[name] else { return nil }
    let malformed = Malformed(
      path: file.path, offset: 8, problem: .unsupportedType(tensor: name, entry.typeName))
    guard let type = SafetensorsEntry.types[entry.typeName]?.type else { throw malformed }
    let start = dataStart + entry.offsets.lowerBound
    let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[start..<start + entry.offsets.count])
    guard
      let tensor = StoredTensor(
        name: name, type: type, shape: entry.shape, bytes: bytes, owner: file)
    else { throw malformed }
    return tensor
  }

  /// The longest header the format allows, in bytes.
  static let maximumHeaderLength = 100_000_000

  /// Whether bytes start as a safetensors file does: a plausible header length, then an object.
  static func looksLikeOne(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard bytes.count > 8 else { return false }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    return length >= 2 && length <= maximumHeaderLength && bytes[8] == UInt8(ascii: "{")
  }
}

/// A tensor's entry in a safetensors header.
struct SafetensorsEntry {
  let typeName: String
  let shape: [Int]
  /// The range of its bytes, relative to the start of the data.
  let offsets: Range<Int>

  /// The types of the format with the bytes of an element; `type` is `nil` where this project
  /// does not read it.
  static let types: [String: (type: ElementType?, bytes: Int)] = [
    "F64": (.float64, 8), "F32": (.float32, 4), "F16": (.float16, 2), "BF16": (.bfloat16, 2),
    "F8_E4M3": (.float8E4M3, 1), "F8_E5M2": (.float8E5M2, 1),
    "I64": (.int64, 8), "I32": (.int32, 4), "I16": (.int16, 2), "I8": (.int8, 1),
    "U64": (nil, 8), "U32": (nil, 4), "U16": (nil, 2), "U8": (nil, 1), "BOOL": (nil, 1),
    "C64": (nil, 8), "F8_E8M0": (nil, 1),
  ]
}
