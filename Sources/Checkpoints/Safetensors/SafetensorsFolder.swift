import Glibc

/// A model folder in the layout of the Hugging Face hub: `config.json` and one or more safetensors
/// files.
///
/// Several files are named by `model.safetensors.index.json`; a single one is `model.safetensors`.
public final class SafetensorsFolder: Checkpoint {
  /// The folder's path, or the file's where there is only one file.
  public let path: String
  /// The content of `config.json`, where there is one.
  public let config: JSONValue?
  /// The files.
  public let files: [SafetensorsFile]
  /// The names of all tensors: of the files in order, in each in the order of the data.
  public let tensorNames: [String]

  private let fileOfTensor: [String: Int]

  /// The most files an index may name.
  static let maximumFiles = 4096

  /// Opens a folder.
  ///
  /// - Throws: ``MappedFile/Failure``, ``SafetensorsFile/Malformed``, ``JSONValue/Malformed`` or
  ///   ``Malformed``.
  public convenience init(path: String) throws {
    let base = path.hasSuffix("/") ? path : path + "/"
    let config = try Self.mapIfPresent(base + "config.json").map { try JSONValue(parsing: $0) }
    guard let index = try Self.mapIfPresent(base + "model.safetensors.index.json") else {
      guard let file = try Self.mapIfPresent(base + "model.safetensors") else {
        throw Malformed(path: path, problem: .noTensors)
      }
      try self.init(path: path, config: config, files: [SafetensorsFile(file)], expected: nil)
      return
    }
    let fileNames = try Self.weightMap(index)
    let unique = Set(fileNames.values).sorted()
    guard unique.count <= Self.maximumFiles else {
      throw Malformed(path: index.path, problem: .tooManyFiles(unique.count))
    }
    for name in unique where name.contains("/") || name.hasPrefix(".") || name.isEmpty {
      throw Malformed(path: index.path, problem: .fileName(name))
    }
    let files = try unique.map { try SafetensorsFile(path: base + $0) }
    try self.init(path: path, config: config, files: files, expected: fileNames)
  }

  /// A checkpoint of one file without a configuration.
  public convenience init(single file: SafetensorsFile) throws(Malformed) {
    try self.init(path: file.file.path, config: nil, files: [file], expected: nil)
  }

  private init(
    path: String, config: JSONValue?, files: [SafetensorsFile], expected: [String: String]?
  ) throws(Malformed) {
    var fileOfTensor: [String: Int] = [:]
    for (i, file) in files.enumerated() {
      for name in file.tensorNames {
        guard fileOfTensor.updateValue(i, forKey: name) == nil else {
          throw Malformed(path: file.file.path, problem: .duplicateTensor(name))
        }
      }
    }
    for (name, file) in (expected ?? [:]).sorted(by: { $0.key < $1.key }) {
      let found = fileOfTensor[name].map { files[$0].file.path }
      guard found?.hasSuffix("/" + file) == true else {
        throw Malformed(path: path, problem: .missingTensor(name, file: file))
      }
    }
    self.path = path
    self.config = config
    self.files = files
    self.fileOfTensor = fileOfTensor
    tensorNames = files.flatMap(\.tensorNames)
  }

  /// The tensor of that name, or `nil` where there is none.
  ///
  /// - Throws: where it is stored in a type that this project does not read.
  public func tensor(named name: String) throws(SafetensorsFile.Malformed) -> StoredTensor? {
    guard let file = fileOfTensor[name] else { return nil }
    return try files[file].tensor(named: name)
  }

  private static func mapIfPresent(_ path: String) throws(MappedFile.Failure) -> MappedFile? {
    do throws(MappedFile.Failure) {
      return try MappedFile(path: path)
    } catch {
      if case .cannotOpen(_, ENOENT) = error { return nil }
      throw error
    }
  }

  /// The file of each tensor, by an index.
  static func weightMap(_ index: MappedFile) throws(JSONValue.Malformed) -> [String: String] {
    var map: [String: String] = [:]
    defer { withExtendedLifetime(index) {} }
    var cursor = JSONCursor(index.bytes)
    do throws(JSONCursor.Malformed) {
      try cursor.object { (cursor, key) throws(JSONCursor.Malformed) in
        guard key == "weight_map" else { return try cursor.skipValue() }
        try cursor.object { (cursor, tensor) throws(JSONCursor.Malformed) in
          map[tensor] = try cursor.string()
        }
      }
      try cursor.end()
    } catch {
      throw JSONValue.Malformed(
        path: index.path, offset: error.offset, expected: error.expected)
    }
    return map
  }

  /// What is wrong with a folder.
  public struct Malformed: Error, Hashable, CustomStringConvertible {
    /// The folder or file at fault.
    public let path: String
    /// What is wrong with it.
    public let problem: Problem

    /// The ways a folder can be wrong.
    public enum Problem: Hashable, Sendable {
      /// Neither an index nor a single file.
      case noTensors
      /// An index that names too many files.
      case tooManyFiles(Int)
      /// An index that names a file outside its folder.
      case fileName(String)
      /// A tensor in two files.
      case duplicateTensor(String)
      /// A tensor that is not in the file the index names.
      case missingTensor(String, file: String)
    }

    /// What is wrong, where, and what was expected.
    public var description: String {
      switch problem {
      case .noTensors:
        "\(path): expected a file model.safetensors or model.safetensors.index.json in this folder"
      case .tooManyFiles(let count):
        "\(path): names \(count) files; expected at most \(SafetensorsFolder.maximumFiles)"
      case .fileName(let name): "\(path): names the file '\(name)'; expected one of its own folder"
      case .duplicateTensor(let name): "\(path): the tensor \(name) is in another file too"
      case .missingTensor(let name, let file):
        "\(path): the index says that tensor \(name) is in \(file), but it is not"
      }
    }
  }
}
