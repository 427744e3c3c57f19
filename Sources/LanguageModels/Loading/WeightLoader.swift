import Checkpoints
import Devices
import Tensors

/// Takes a model's weights out of its checkpoint, by GGUF's tensor names, each checked against the
/// shape that the configuration promises, and gives them to the device that is to run the model.
final class WeightLoader {
  let configuration: ModelConfiguration
  /// Where they go.
  private(set) var weights: any ModelWeights
  private let checkpoint: any Checkpoint
  private let metadata: ModelMetadata
  private let parallelism: TensorParallelism?
  private let storedName: @Sendable (String) -> String

  /// A loader.
  ///
  /// - Parameters:
  ///   - weights: Where they go.
  ///   - parallelism: Whose part is taken; nil for all.
  ///   - storedName: The name that this checkpoint gives to GGUF's tensor.
  init(
    _ checkpoint: any Checkpoint, _ configuration: ModelConfiguration, metadata: ModelMetadata,
    into weights: any ModelWeights, parallelism: TensorParallelism?,
    storedName: @escaping @Sendable (String) -> String
  ) {
    self.checkpoint = checkpoint
    self.configuration = configuration
    self.metadata = metadata
    self.weights = weights
    self.parallelism = parallelism
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

  /// What ranks divide among them.
  enum Division {
    case outputs
    case inputs
  }

  /// This rank's weights `name.weight` of a linear layer, with `rows` outputs and `columns` inputs,
  /// and its bias where there is one.
  func linear(_ name: String, rows: Int, columns: Int, divided: Division) throws -> Linear {
    let (rank, count) = (parallelism?.rank ?? 0, parallelism?.count ?? 1)
    let all = divided == .outputs ? [rows * count, columns] : [rows, columns * count]
    let tensor = try required(name + ".weight", shape: all)
    let bias = try vector(name + ".bias", count: all[0])
    switch divided {
    case .outputs:
      let part = rank * rows..<(rank + 1) * rows
      let bytes = tensor.rowBytes * part.lowerBound..<tensor.rowBytes * part.upperBound
      return try linear(
        tensor, rows: rows, columns: columns,
        bytes: UnsafeRawBufferPointer(rebasing: tensor.bytes[bytes]),
        bias: bias.map { Array($0[part]) })
    case .inputs:
      guard count > 1 else { return try linear(tensor, bias: bias) }
      guard columns % tensor.type.blockLength == 0 else {
        throw ModelError.tensor(
          tensor.name,
          problem: "\(columns) columns of a rank are no whole blocks of \(tensor.type.rawValue)")
      }
      let rowBytes = columns / tensor.type.blockLength * tensor.type.blockBytes
      var bytes: [UInt8] = []
      bytes.reserveCapacity(rows * rowBytes)
      for row in 0..<rows {
        let start = row * tensor.rowBytes + rank * rowBytes
        bytes += tensor.bytes[start..<start + rowBytes]
      }
      // The ranks' sum has the bias once.
      return try bytes.withUnsafeBytes {
        try linear(tensor, rows: rows, columns: columns, bytes: $0, bias: rank == 0 ? bias : nil)
      }
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
