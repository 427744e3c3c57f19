public import Tensors

/// A linear layer's weights on a device, as they are stored.
///
/// Weights in the activations' type are multiplied as they lie; others are dequantised before each
/// product into memory that layers share.
public final class CUDALinear: Sendable {
  /// The stored type of the weights.
  public let storedType: ElementType
  /// Of activations.
  public let type: ElementType
  /// Rows of the weights.
  public let outputs: Int
  /// Columns of the weights.
  public let inputs: Int
  private let library: CUBLASLt
  private let weights: CUDABuffer
  private let decoding: (operators: CUDAOperators, kernel: CUDAKernel, memory: CUDABuffer)?

  /// The bytes that a layer's weights take when they are dequantised; 0 where they need not be.
  public static func decodedBytes(
    _ storedType: ElementType, type: ElementType, outputs: Int, inputs: Int
  ) -> Int { storedType == type ? 0 : outputs * inputs * type.blockBytes }

  /// Sends weights to the device.
  ///
  /// - Parameters:
  ///   - library: Whose products.
  ///   - storedType: Any of ``CUDAOperators/rowTypes``.
  ///   - bytes: Outputs × inputs weights, row after row.
  ///   - type: Of activations.
  ///   - decoded: At least `decodedBytes`, where that is not 0.
  ///   - kernel: The kernel `gather` of `CUDAOperators(.rows, type:storedType:)`.
  public init(
    _ library: CUBLASLt, _ storedType: ElementType, bytes: UnsafeRawBufferPointer, outputs: Int,
    inputs: Int, type: ElementType = .bfloat16, decoded: CUDABuffer? = nil,
    kernel: (CUDASource) throws(CUDAFailure) -> CUDAKernel, on stream: CUDAStream
  ) throws(CUDAFailure) {
    (self.library, self.storedType, self.type) = (library, storedType, type)
    (self.outputs, self.inputs) = (outputs, inputs)
    weights = try library.context.allocate(bytes: bytes.count)
    try stream.copy(bytes, to: weights.address)
    // The bytes are the caller's and may go when this returns.
    try stream.synchronize()
    guard storedType != type else {
      decoding = nil
      return
    }
    let operators: CUDAOperators
    do throws(CUDAOperators.Unsupported) {
      operators = try CUDAOperators(
        .rows, type: type, storedType: storedType, architecture: library.context.architecture)
    } catch {
      throw .unsupported("\(error)")
    }
    let needed = Self.decodedBytes(storedType, type: type, outputs: outputs, inputs: inputs)
    let memory: CUDABuffer
    if let decoded, decoded.byteCount >= needed {
      memory = decoded
    } else {
      memory = try library.context.allocate(bytes: needed)
    }
    decoding = (operators, try kernel(operators.source), memory)
  }

  /// Asks for y = x·Wᵀ, or y += x·Wᵀ.
  public func multiply(
    _ x: CUDAMatrix, into y: CUDAMatrix, accumulate: Bool = false, on stream: CUDAStream
  ) throws(CUDAFailure) {
    var matrix = CUDAMatrix(weights.address, rows: outputs, columns: inputs)
    if let decoding {
      matrix.base = decoding.memory.address
      try stream.launch(
        decoding.kernel,
        decoding.operators.gather(weights.address, tableRows: outputs, into: matrix))
    }
    try library.multiply(x, matrix, type: type, into: y, accumulate: accumulate, on: stream)
  }
}
