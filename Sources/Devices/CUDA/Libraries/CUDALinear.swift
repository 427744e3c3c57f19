public import Tensors

/// A linear layer's weights on a device.
///
/// Weights in the activations' type are multiplied as they lie. Others are dequantised once, when they
/// are sent, or kept as they are stored and dequantised before each product into memory that layers share.
public final class CUDALinear: Sendable {
  /// Of activations.
  public let type: ElementType
  /// Rows of the weights.
  public let outputs: Int
  /// Columns of the weights.
  public let inputs: Int
  private let device: CUDADevice
  private let weights: CUDABuffer
  /// What makes activations' type of stored weights before each product, and where.
  private let decoding: (kernels: CUDAOperatorKernels, memory: CUDABuffer)?

  /// The bytes of a layer's weights in the activations' type.
  public static func decodedBytes(type: ElementType, outputs: Int, inputs: Int) -> Int {
    outputs * inputs * type.blockBytes
  }

  /// Sends weights to the device.
  ///
  /// - Parameters:
  ///   - device: Where they are multiplied.
  ///   - storedType: Any of ``CUDAOperators/rowTypes``.
  ///   - bytes: Outputs × inputs weights, row after row.
  ///   - type: Of activations.
  ///   - shared: Where weights are dequantised before each product, at least `decodedBytes`; nil to
  ///     dequantise them once, now.
  public init(
    _ device: CUDADevice, _ storedType: ElementType, bytes: UnsafeRawBufferPointer, outputs: Int,
    inputs: Int, type: ElementType = .bfloat16, shared: CUDABuffer? = nil
  ) throws(CUDAFailure) {
    (self.device, self.type) = (device, type)
    (self.outputs, self.inputs) = (outputs, inputs)
    let (context, stream) = (device.context, device.stream)
    let needed = Self.decodedBytes(type: type, outputs: outputs, inputs: inputs)
    if let shared, storedType != type, shared.byteCount < needed {
      throw .unsupported("\(shared.byteCount) bytes for dequantised weights; expected \(needed)")
    }
    let stored = try context.allocate(bytes: bytes.count)
    try stream.copy(bytes, to: stored.address)
    // The bytes are the caller's and may go when this returns.
    try stream.synchronize()
    guard storedType != type else {
      (weights, decoding) = (stored, nil)
      return
    }
    let kernels = try device.operators(.rows, type: type, storedType: storedType)
    if let shared {
      (weights, decoding) = (stored, (kernels, shared))
      return
    }
    (weights, decoding) = (try context.allocate(bytes: needed), nil)
    let decoded = matrix(weights)
    try withExtendedLifetime(stored) { () throws(CUDAFailure) in
      try kernels.launch(on: stream) {
        $0.gather(stored.address, tableRows: outputs, into: decoded)
      }
      try stream.synchronize()
    }
  }

  private func matrix(_ buffer: CUDABuffer) -> CUDAMatrix {
    CUDAMatrix(buffer.address, rows: outputs, columns: inputs)
  }

  /// Asks for y = x·Wᵀ, or y += x·Wᵀ.
  ///
  /// - Parameter outputType: Of `y`: by default that of activations, or `.float32`.
  public func multiply(
    _ x: CUDAMatrix, into y: CUDAMatrix, outputType: ElementType? = nil, accumulate: Bool = false
  ) throws(CUDAFailure) {
    if let decoding {
      let decoded = matrix(decoding.memory)
      try decoding.kernels.launch(on: device.stream) {
        $0.gather(weights.address, tableRows: outputs, into: decoded)
      }
    }
    try device.products.multiply(
      x, matrix(decoding?.memory ?? weights), type: type, into: y, outputType: outputType,
      accumulate: accumulate, on: device.stream)
  }
}
