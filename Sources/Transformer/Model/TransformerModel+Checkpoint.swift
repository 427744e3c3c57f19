public import Checkpoints
public import Tensors
import Foundation

extension TransformerModel {
  /// Why a checkpoint holds no such model.
  public enum CheckpointFailure: Error, Hashable {
    /// The header has no hyper-parameters, or none that can be read.
    case configuration(path: String)
    /// A parameter is missing.
    case missing(path: String, name: String)
    /// A parameter has another shape.
    case shape(path: String, name: String, expected: [Int], found: [Int])
  }

  /// The header's key of the hyper-parameters.
  private static let configurationKey = "transformer"

  /// Reads a model from a safetensors file, with the other texts of its header.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - configuration: The hyper-parameters, where the file (as one that PyTorch wrote) does not
  ///     tell them.
  public static func load(
    path: String, configuration given: TransformerConfiguration? = nil
  ) throws -> (model: TransformerModel, metadata: [String: String], file: SafetensorsFile) {
    let file = try SafetensorsFile(path: path)
    let stored = file.metadata[configurationKey].flatMap {
      try? JSONDecoder().decode(TransformerConfiguration.self, from: Data($0.utf8))
    }
    guard let configuration = given ?? stored else {
      throw CheckpointFailure.configuration(path: path)
    }
    try configuration.check()
    let weights = Parameters(ParameterLayout(configuration))
    for entry in weights.layout.entries {
      guard let tensor = try file.tensor(named: entry.name) else {
        throw CheckpointFailure.missing(path: path, name: entry.name)
      }
      guard tensor.shape == entry.shape else {
        throw CheckpointFailure.shape(
          path: path, name: entry.name, expected: entry.shape, found: tensor.shape)
      }
      _ = weights.elements(of: entry).update(fromContentsOf: tensor.dequantized())
    }
    return (try TransformerModel(configuration, weights: weights), file.metadata, file)
  }

  /// A safetensors file of the weights, to which more can be added.
  ///
  /// Names and shapes are PyTorch's (see ``ParameterLayout``): `safetensors.torch.load_file` gives
  /// a state dict.
  public func writer() throws -> SafetensorsWriter {
    var writer = SafetensorsWriter()
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    writer.metadata["format"] = "pt"
    writer.metadata[Self.configurationKey] = String(
      decoding: try encoder.encode(configuration), as: UTF8.self)
    for entry in weights.layout.entries {
      try writer.add(
        entry.name, shape: entry.shape,
        bytes: UnsafeRawBufferPointer(weights.elements(of: entry)))
    }
    return writer
  }
}

extension TransformerModel {
  /// Writes the weights in a floating-point type, for use rather than for going on.
  public func save(to path: String, type: ElementType) throws {
    guard type == .bfloat16 else { return try writer().write(to: path) }
    var writer = SafetensorsWriter()
    writer.metadata = try self.writer().metadata
    let rounded = weights.layout.entries.map { entry in
      weights.elements(of: entry).map { BFloat16($0).bitPattern.littleEndian }
    }
    let memory = AlignedBuffer(byteCount: rounded.reduce(0) { $0 + $1.count * 2 })
    var offset = 0
    for (entry, values) in zip(weights.layout.entries, rounded) {
      let bytes = UnsafeMutableRawBufferPointer(
        rebasing: memory.bytes[offset..<offset + values.count * 2])
      values.withUnsafeBytes { bytes.copyMemory(from: $0) }
      offset += bytes.count
      try writer.add(
        entry.name, type: .bfloat16, shape: entry.shape, bytes: UnsafeRawBufferPointer(bytes))
    }
    try writer.write(to: path)
    withExtendedLifetime(memory) {}
  }
}

extension TransformerModel.CheckpointFailure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .configuration(let path):
      "\(path): the header has no \"transformer\" with hyper-parameters; name them"
    case .missing(let path, let name): "\(path): no tensor \(name)"
    case .shape(let path, let name, let expected, let found):
      "\(path): tensor \(name) has shape \(found); expected \(expected)"
    }
  }
}
