/// A GGUF file, version 2 or 3, little-endian: metadata and tensors, read where they lie.
///
/// Opening reads the header only and trusts none of it: every count is bounded by the bytes that
/// follow before anything is allocated for it, and every tensor is found to lie inside the file.
/// Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
public final class GGUFFile: Checkpoint {
  /// The mapped file.
  public let file: MappedFile
  /// The version of the format: 2 or 3.
  public let version: Int
  /// The keys of all metadata, in the order in which they are stored.
  public let metadataKeys: [String]
  /// All metadata by key.
  public let metadata: [String: GGUFValue]
  /// Every tensor's offset is a multiple of this many bytes.
  public let alignment: Int
  /// Where in the file the tensor data begins, in bytes.
  public let dataStart: Int
  /// All tensors in the order in which they are stored.
  ///
  /// Shapes are outermost first, the reverse of the order in the file.
  public let tensors: [StoredTensor]

  private let tensorIndex: [String: Int]

  /// Maps and reads the file at `path`.
  ///
  /// - Throws: ``MappedFile/Failure`` or ``Malformed``.
  public convenience init(path: String) throws {
    try self.init(MappedFile(path: path))
  }

  /// Reads the header of a mapped file.
  public init(_ file: MappedFile) throws(Malformed) {
    var cursor = GGUFCursor(file)
    let header = try GGUFHeader(&cursor)
    self.file = file
    version = header.version
    (metadataKeys, metadata) = try cursor.metadata(count: header.metadataCount)
    alignment = try cursor.alignment(metadata)
    let infos = try cursor.tensorInfos(count: header.tensorCount)
    let padding = (alignment - cursor.offset % alignment) % alignment
    dataStart = cursor.offset + padding
    var tensors: [StoredTensor] = []
    tensors.reserveCapacity(infos.count)
    var index: [String: Int] = [:]
    index.reserveCapacity(infos.count)
    for info in infos {
      guard index.updateValue(tensors.count, forKey: info.name) == nil else {
        throw cursor.malformed(.duplicateTensor(info.name), at: info.headerOffset)
      }
      tensors.append(try info.tensor(in: file, dataStart: dataStart, alignment: alignment))
    }
    self.tensors = tensors
    tensorIndex = index
  }

  /// The names of all tensors, in the order in which they are stored.
  public var tensorNames: [String] { tensors.map(\.name) }

  /// The tensor of that name, or `nil` where there is none.
  public func tensor(named name: String) -> StoredTensor? {
    tensorIndex[name].map { tensors[$0] }
  }

  /// The four bytes that start every GGUF file.
  static let magic = Array("GGUF".utf8)
  /// The specification bounds keys to 65,535 bytes; tensor names are shorter still.
  static let maximumNameLength = 65_535
  /// The specification allows four dimensions.
  static let maximumDimensions = 4
}
