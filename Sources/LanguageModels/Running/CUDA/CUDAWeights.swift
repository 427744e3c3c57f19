import Checkpoints
import Devices
import Tensors

/// A model's weights on a GPU: linear layers in the activations' type where memory allows, tables as the
/// checkpoint stores them.
struct CUDAWeights: ModelWeights {
  let device: CUDADevice
  /// Of activations: bfloat16, or 32-bit floats where all is to be exact.
  let type: ElementType
  private(set) var linears: [LinearLayer] = []
  private(set) var norms: [CUDABuffer] = []
  private(set) var tables: [VectorTable] = []
  /// Where weights that are kept as stored are dequantised before each product.
  private var shared: CUDABuffer?
  private let largestLayer: Int

  /// A linear layer's weights, and its bias in 32-bit floats.
  struct LinearLayer {
    let weights: CUDALinear
    let bias: CUDABuffer?
  }

  /// A table as it is stored, and the kernel that reads it.
  struct VectorTable {
    let kernels: CUDAOperatorKernels
    let rows: Int
    let memory: CUDABuffer
  }

  /// No weights yet.
  ///
  /// - Parameter configuration: The sizes of the layers to come.
  init(_ device: CUDADevice, precision: LinearPrecision, _ configuration: ModelConfiguration) {
    self.device = device
    type = precision == .exact ? .float32 : .bfloat16
    let outputs = Activation.allCases.map { $0.columns(configuration) }.max() ?? 0
    largestLayer = CUDALinear.decodedBytes(
      type: type, outputs: max(outputs, configuration.vocabularySize), inputs: configuration.width)
  }

  mutating func take(
    linear name: String, _ stored: ElementType, rows: Int, columns: Int,
    bytes: UnsafeRawBufferPointer, bias: [Float]?
  ) throws -> Linear {
    guard CUDAOperators.rowTypes.contains(stored), columns % stored.blockLength == 0 else {
      throw ModelError.tensor(name, problem: "no CUDA kernel reads \(stored.rawValue) so")
    }
    // Half of what is stored in fewer bits is faster still to read than to dequantise again for each
    // product; a quarter of the memory stays for pages and activations.
    let (free, total) = try device.context.memory()
    let decoded = CUDALinear.decodedBytes(type: type, outputs: rows, inputs: columns)
    if stored != type, free - decoded < total / 4, shared == nil {
      shared = try device.context.allocate(bytes: largestLayer)
    }
    linears.append(
      LinearLayer(
        weights: try CUDALinear(
          device, stored, bytes: bytes, outputs: rows, inputs: columns, type: type, shared: shared),
        bias: try bias.map { (bias) throws(CUDAFailure) in try device.buffer(of: bias) }))
    return Linear(index: linears.count - 1)
  }

  mutating func take(norm weight: [Float]) throws -> Norm {
    norms.append(try device.buffer(of: weight))
    return Norm(index: norms.count - 1)
  }

  mutating func take(table: StoredTensor) throws -> Table {
    let memory = try device.context.allocate(bytes: table.bytes.count)
    try device.stream.copy(table.bytes, to: memory.address)
    try device.stream.synchronize()
    tables.append(
      VectorTable(
        kernels: try device.operators(.rows, type: .float32, storedType: table.type),
        rows: table.rows, memory: memory))
    return Table(index: tables.count - 1)
  }

  func pass(
    _ configuration: ModelConfiguration, device: CPUDevice, options: BatchRunner.Options
  ) throws -> any ForwardPass {
    try CUDAPass(configuration, self, host: device, options: options)
  }

  func pageByteCount(
    _ configuration: ModelConfiguration, kvType: ElementType, pageSize: Int
  ) -> Int { CUDAPool.pageByteCount(configuration, kvType: kvType, pageSize: pageSize) }

  /// What is free beside a tenth of the memory, which activations and plans get.
  func poolByteCount() throws -> Int? {
    let (free, total) = try device.context.memory()
    return max(free - total / 10, 0)
  }
}
