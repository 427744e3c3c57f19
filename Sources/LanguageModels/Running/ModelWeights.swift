import Checkpoints
import Devices
import Tensors

/// A model's weights on the device that runs it, in the form in which it multiplies them.
///
/// Layers name them by their places.
protocol ModelWeights: Sendable {
  /// Takes the weights of a linear layer, `rows` outputs of `columns` inputs.
  ///
  /// - Parameters:
  ///   - name: The tensor's, for errors.
  ///   - bytes: The caller's.
  mutating func take(
    linear name: String, _ type: ElementType, rows: Int, columns: Int,
    bytes: UnsafeRawBufferPointer, bias: [Float]?
  ) throws -> Linear
  /// Takes the weights of an RMSNorm.
  mutating func take(norm weight: [Float]) throws -> Norm
  /// Takes a table whose rows are looked up.
  mutating func take(table: StoredTensor) throws -> Table

  /// A pass over these weights with an empty pool.
  ///
  /// - Parameters:
  ///   - configuration: The model's, adapted to the context.
  ///   - device: The processor that plans.
  func pass(
    _ configuration: ModelConfiguration, device: CPUDevice, options: BatchRunner.Options
  ) throws -> any ForwardPass
  /// The bytes of a page of one layer.
  func pageByteCount(
    _ configuration: ModelConfiguration, kvType: ElementType, pageSize: Int
  ) throws -> Int
  /// What a pool may take of the device's memory; nil where that is not known.
  func poolByteCount() throws -> Int?
}
