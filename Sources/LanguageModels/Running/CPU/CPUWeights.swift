import Attention
import Checkpoints
import Devices
import Tensors

/// A model's weights in memory: linear layers packed for this processor, tables as the checkpoint
/// stores them.
struct CPUWeights: ModelWeights {
  let device: CPUDevice
  let precision: LinearPrecision
  /// Whose part of a shared model this is; nil for all.
  let parallelism: TensorParallelism?
  private(set) var linears: [LinearWeights] = []
  private(set) var norms: [[Float]] = []
  private(set) var tables: [StoredTensor] = []

  /// No weights yet.
  init(_ device: CPUDevice, precision: LinearPrecision, parallelism: TensorParallelism?) {
    (self.device, self.precision, self.parallelism) = (device, precision, parallelism)
  }

  mutating func take(
    linear name: String, _ type: ElementType, rows: Int, columns: Int,
    bytes: UnsafeRawBufferPointer, bias: [Float]?
  ) throws -> Linear {
    do throws(LinearWeights.Failure) {
      linears.append(
        try LinearWeights(
          type, rows: rows, columns: columns, bytes: bytes, bias: bias, precision: precision,
          device: device))
    } catch {
      throw ModelError.tensor(name, problem: error.description)
    }
    return Linear(index: linears.count - 1)
  }

  mutating func take(norm weight: [Float]) -> Norm {
    norms.append(weight)
    return Norm(index: norms.count - 1)
  }

  mutating func take(table: StoredTensor) -> Table {
    tables.append(table)
    return Table(index: tables.count - 1)
  }

  func pass(
    _ configuration: ModelConfiguration, device: CPUDevice, options: BatchRunner.Options
  ) throws -> any ForwardPass {
    try CPUPass(configuration, self, device: device, options: options)
  }

  func pageByteCount(
    _ configuration: ModelConfiguration, kvType: ElementType, pageSize: Int
  ) throws -> Int {
    try PagedKVCache.pageByteCount(
      pageSize: pageSize, kvHeads: configuration.kvHeadCount,
      headDimension: configuration.headDimension, elementType: kvType)
  }

  func poolByteCount() -> Int? { nil }
}
