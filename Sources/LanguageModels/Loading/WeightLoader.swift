import Checkpoints
import Devices
import Tensors

/// Takes a model's weights out of its checkpoint, by GGUF's tensor names, each checked against the
/// shape that the configuration promises.
struct WeightLoader {
  let checkpoint: any Checkpoint
  let configuration: ModelConfiguration
  let metadata: ModelMetadata
  let precision: LinearPrecision
  let device: CPUDevice
  /// The name that this checkpoint gives to GGUF's tensor.
  let storedName: @Sendable (String) -> String

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

  /// The weights `name.weight` of a linear layer with `rows` outputs and `columns` inputs, and its
  /// bias where there is one.
  func linear(_ name: String, rows: Int, columns: Int) throws -> LinearWeights {
    let bias = try vector(name + ".bias", count: rows)
    return try linear(required(name + ".weight", shape: [rows, columns]), bias: bias)
  }

  /// The weights of a linear layer.
  func linear(_ tensor: StoredTensor, bias: [Float]? = nil) throws -> LinearWeights {
    do {
      return try LinearWeights(
        tensor.type, rows: tensor.rows, columns: tensor.columns, bytes: tensor.bytes, bias: bias,
        precision: precision, device: device)
    } catch {
      throw ModelError.tensor(tensor.name, problem: error.description)
    }
  }

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
    return Norm(weight: weight, epsilon: configuration.normEpsilon)
  }
}
