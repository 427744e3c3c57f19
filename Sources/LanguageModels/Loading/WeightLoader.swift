import Checkpoints
import Devices
import Tensors

/// Takes a model's weights out of its checkpoint, by GGUF's tensor names, each checked against the
/// shape that the configuration promises, and gives them to the device that is to run the model.
final class WeightLoader {
  let configuration: ModelConfiguration
  /// What of every layer is taken.
  let part: ModelPart
  /// Where they go.
  private(set) var weights: any ModelWeights
  private let checkpoint: any Checkpoint
  private let metadata: ModelMetadata
  private let storedName: @Sendable (String) -> String

  /// A loader.
  ///
  /// - Parameters:
  ///   - configuration: The part's.
  ///   - part: What of every layer is taken.
  ///   - weights: Where they go.
  ///   - storedName: The name that this checkpoint gives to GGUF's tensor.
  init(
    _ checkpoint: any Checkpoint, _ configuration: ModelConfiguration, _ part: ModelPart,
    metadata: ModelMetadata, into weights: any ModelWeights,
    storedName: @escaping @Sendable (String) -> String
  ) {
    self.checkpoint = checkpoint
    self.configuration = configuration
    self.part = part
    self.metadata = metadata
    self.weights = weights
    self.storedName = storedName
  }

  /// The tensor, or `nil` where the checkpoint has none of that name.
  func optional(_ name: String, shape: [Int]) throws -> StoredTensor? {
    guard let tensor = try checkpoint.tensor(named: storedName(name)) else { return nil }
    guard tensor.shape == shape else {
      throw ModelError.shape(tensor: tensor.name, expected: shape, found: tensor.shape)
    }
    return tensor
  }

  /// The tensor, which must be there.
  func required(_ name: String, shape: [Int]) throws -> StoredTensor {
    guard let tensor = try optional(name, shape: shape) else {
      throw ModelError.missingTensor(storedName(name))
    }
    return tensor
  }

  /// This rank's weights `name.weight` of a linear layer whose outputs ranks share, and its biases where
  /// there are any.
  func linear(_ name: String, outputs: Share, inputs: Int) throws -> Linear {
    let tensor = try required(name + ".weight", shape: [outputs.count, inputs])
    let bias = try vector(name + ".bias", count: outputs.count)
    return try linear(
      tensor, rows: outputs.taken, bias: bias.map { Array($0[outputs.taken]) })
  }

  /// The weights of some outputs of a linear layer.
  func linear(_ tensor: StoredTensor, rows: Range<Int>, bias: [Float]? = nil) throws -> Linear {
    let bytes = tensor.rowBytes * rows.lowerBound..<tensor.rowBytes * rows.upperBound
    return try linear(
      tensor, rows: rows.count, columns: tensor.columns,
      bytes: UnsafeRawBufferPointer(rebasing: tensor.bytes[bytes]), bias: bias)
  }

  /// This rank's weights of a linear layer whose inputs ranks share; the first one has the bias, which
  /// the ranks' sum then has once.
  func linear(_ name: String, outputs: Int, inputs: Share) throws -> Linear {
    let tensor = try required(name + ".weight", shape: [outputs, inputs.count])
    let bias = try vector(name + ".bias", count: outputs)
    let (columns, type) = (inputs.taken, tensor.type)
    guard columns.count < inputs.count else { return try linear(tensor, bias: bias) }
    guard columns.lowerBound % type.blockLength == 0, columns.count % type.blockLength == 0 else {
      throw ModelError.tensor(
        tensor.name,
        problem: "a rank's columns \(columns) are no whole blocks of \(type.rawValue), "
          + "\(type.blockLength) each; expected fewer ranks or another type")
    }
    func size(_ columns: Int) -> Int { columns / type.blockLength * type.blockBytes }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(outputs * size(columns.count))
    for row in 0..<outputs {
      let start = row * tensor.rowBytes + size(columns.lowerBound)
      bytes += tensor.bytes[start..<start + size(columns.count)]
    }
    return try bytes.withUnsafeBytes {
      try linear(
        tensor, rows: outputs, columns: columns.count, bytes: $0,
        bias: columns.lowerBound == 0 ? bias : nil)
    }
  }

  /// The weights of a linear layer.
  func linear(_ tensor: StoredTensor, bias: [Float]? = nil) throws -> Linear {
    try linear(
      tensor, rows: tensor.rows, columns: tensor.columns, bytes: tensor.bytes, bias: bias)
  }

  private func linear(
    _ tensor: StoredTensor, rows: Int, columns: Int, bytes: UnsafeRawBufferPointer, bias: [Float]?
  ) throws -> Linear {
    try weights.take(
      linear: tensor.name, tensor.type, rows: rows, columns: columns, bytes: bytes, bias: bias)
  }

  /// A table whose rows are looked up.
  func table(_ tensor: StoredTensor) throws -> Table { try weights.take(table: tensor) }

  /// The vector `name` of `count` floats, or `nil` where there is none.
  func vector(_ name: String, count: Int) throws -> [Float]? {
    try optional(name, shape: [count])?.dequantized()
  }

  /// RMSNorm's weights `name.weight` for vectors of the model's width or of `count`.
  func norm(_ name: String, count: Int? = nil) throws -> Norm {
    guard let norm = try optionalNorm(name, count: count ?? configuration.width) else {
      throw ModelError.missingTensor(storedName(name + ".weight"))
    }
    return norm
  }

  /// RMSNorm's weights, or `nil` where there are none.
  func optionalNorm(_ name: String, count: Int) throws -> Norm? {
    guard var weight = try vector(name + ".weight", count: count) else { return nil }
    if metadata.hasZeroCentredNorms { for i in weight.indices { weight[i] += 1 } }
    return try weights.take(norm: weight)
  }
}
