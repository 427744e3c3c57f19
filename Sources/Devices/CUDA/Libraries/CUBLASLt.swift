public import Tensors
import Synchronization

/// NVIDIA's matrix products, opened at run time: y = x·Wᵀ for 16-bit and 32-bit floats.
///
/// A product's algorithm is the first that the library's heuristics give for its sizes, asked for once.
/// Not for use by two threads at once: products share a workspace.
public final class CUBLASLt: Sendable {
  /// Whose products they are.
  public let context: CUDAContext
  private let functions: Functions
  private nonisolated(unsafe) let handle: OpaquePointer?
  private let workspace: CUDABuffer
  private let products = Mutex<[Sizes: Product]>([:])

  /// What the library's heuristics may use of the device's memory.
  private static let workspaceBytes = 32 << 20

  /// Opens the library for a device.
  ///
  /// - Parameter library: By default cuBLASLt of CUDA 13 or 12: the file that `ATTENTION_CUBLASLT` names, or
  ///   what the loader, CUDA's usual folder or wheels (`pip install nvidia-cublas`) have.
  public init(_ context: CUDAContext, library: DynamicLibrary? = nil) throws(CUDAFailure) {
    do throws(DynamicLibrary.Failure) {
      functions = try Functions(.given(library, else: CUDALibrary.cublasLt.candidates))
    } catch {
      throw CUDAFailure(error, library: "cuBLASLt")
    }
    self.context = context
    workspace = try context.allocate(bytes: Self.workspaceBytes)
    var handle: OpaquePointer?
    let functions = functions
    try Self.check("cublasLtCreate", context.library { functions.create(&handle) })
    self.handle = handle
  }

  deinit {
    products.withLock { products in
      for product in products.values { product.destroy(functions) }
    }
    _ = functions.destroy(handle)
  }

  /// Asks for y = x·Wᵀ, or y += x·Wᵀ.
  ///
  /// - Parameters:
  ///   - x: Tokens × inputs.
  ///   - weights: Outputs × inputs.
  ///   - type: Of `x` and the weights: `.bfloat16`, `.float16` or `.float32`. Sums are 32-bit floats.
  ///   - y: Tokens × outputs.
  ///   - outputType: Of `y`: by default that of `x`, or `.float32`.
  ///   - accumulate: Whether the product is added to what is there.
  public func multiply(
    _ x: CUDAMatrix, _ weights: CUDAMatrix, type: ElementType, into y: CUDAMatrix,
    outputType: ElementType? = nil, accumulate: Bool = false, on stream: CUDAStream
  ) throws(CUDAFailure) {
    guard x.rows > 0 else { return }
    let sizes = Sizes(
      type: type, outputType: outputType ?? type, rows: x.rows, inputs: x.columns,
      outputs: weights.rows, xStride: x.stride,
      weightStride: weights.stride, yStride: y.stride,
      alignment: Self.alignment([x.base, weights.base, y.base]))
    let product = try product(sizes)
    var (alpha, beta): (Float, Float) = (1, accumulate ? 1 : 0)
    let status = context.library {
      product.algorithm.withUnsafeBytes { algorithm in
        functions.multiply(
          handle, product.description, &alpha, pointer(weights.base), product.weights,
          pointer(x.base), product.x, &beta, pointer(y.base), product.y, pointer(y.base),
          product.y, algorithm.baseAddress, pointer(workspace.address), Self.workspaceBytes,
          stream.handle)
      }
    }
    try Self.check("cublasLtMatmul", status)
  }

  /// What a product's description depends on.
  private struct Sizes: Hashable {
    var type, outputType: ElementType
    var rows, inputs, outputs, xStride, weightStride, yStride: Int
    /// What all three begin at a multiple of, in bytes.
    var alignment: UInt32
  }

  /// The largest power of two, at most 256, that addresses are multiples of.
  private static func alignment(_ addresses: [CUDAAddress]) -> UInt32 {
    1 << min(addresses.map(\.bits.trailingZeroBitCount).min() ?? 8, 8)
  }

  /// Descriptions that the library keeps, and the algorithm's 64 bytes.
  private struct Product: @unchecked Sendable {
    var description, weights, x, y: OpaquePointer?
    var algorithm: [UInt8] = []

    func destroy(_ functions: Functions) {
      for layout in [weights, x, y] { if layout != nil { _ = functions.destroyLayout(layout) } }
      if description != nil { _ = functions.destroyDescription(description) }
    }
  }

  private func product(_ sizes: Sizes) throws(CUDAFailure) -> Product {
    if let product = products.withLock({ $0[sizes] }) { return product }
    var product = Product()
    do throws(CUDAFailure) {
      try describe(sizes, &product)
    } catch {
      product.destroy(functions)
      throw error
    }
    products.withLock { $0[sizes] = product }
    return product
  }

  private func describe(_ sizes: Sizes, _ product: inout Product) throws(CUDAFailure) {
    // The library's matrices are column-major: yᵀ = Wᵀ'·xᵀ, with W's rows as columns, transposed.
    // 68 is CUBLAS_COMPUTE_32F, 0 CUDA_R_32F, 2 CUDA_R_16F and 14 CUDA_R_16BF.
    func number(_ type: ElementType) -> Int32 { type == .bfloat16 ? 14 : type == .float16 ? 2 : 0 }
    try Self.check(
      "cublasLtMatmulDescCreate", functions.makeDescription(&product.description, 68, 0))
    var transposed: Int32 = 1
    // 3 is CUBLASLT_MATMUL_DESC_TRANSA.
    try Self.check(
      "cublasLtMatmulDescSetAttribute",
      functions.setDescription(product.description, 3, &transposed, 4))
    func layout(
      _ to: inout OpaquePointer?, _ type: ElementType, _ rows: Int, _ columns: Int, _ stride: Int
    ) throws(CUDAFailure) {
      try Self.check(
        "cublasLtMatrixLayoutCreate",
        functions.makeLayout(&to, number(type), UInt64(rows), UInt64(columns), Int64(stride)))
    }
    try layout(&product.weights, sizes.type, sizes.inputs, sizes.outputs, sizes.weightStride)
    try layout(&product.x, sizes.type, sizes.inputs, sizes.rows, sizes.xStride)
    try layout(&product.y, sizes.outputType, sizes.outputs, sizes.rows, sizes.yStride)

    var preference: OpaquePointer?
    try Self.check("cublasLtMatmulPreferenceCreate", functions.makePreference(&preference))
    defer { _ = functions.destroyPreference(preference) }
    var most = UInt64(Self.workspaceBytes)
    // 1 is CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES.
    try Self.check(
      "cublasLtMatmulPreferenceSetAttribute", functions.setPreference(preference, 1, &most, 8))
    // 5 to 8 are the least alignments of the matrices, which else are taken to be 256.
    var alignment = sizes.alignment
    for attribute in 5...8 as ClosedRange<Int32> {
      try Self.check(
        "cublasLtMatmulPreferenceSetAttribute",
        functions.setPreference(preference, attribute, &alignment, 4))
    }
    // An algorithm of 64 bytes, its workspace, state, waves and four numbers.
    var result = [UInt8](repeating: 0, count: 96)
    var found: Int32 = 0
    let status = context.library {
      functions.heuristic(
        handle, product.description, product.weights, product.x, product.y, product.y, preference,
        1, &result, &found)
    }
    try Self.check("cublasLtMatmulAlgoGetHeuristic", status)
    guard found > 0 else {
      // 15 is CUBLAS_STATUS_NOT_SUPPORTED.
      throw .failed(
        call: "cublasLtMatmulAlgoGetHeuristic", code: 15,
        name: "no algorithm for \(sizes.rows) × \(sizes.inputs) × \(sizes.outputs) in "
          + "\(sizes.type.rawValue), \(sizes.outputType.rawValue)")
    }
    product.algorithm = Array(result[..<64])
  }

  private func pointer(_ address: CUDAAddress) -> UnsafeMutableRawPointer? {
    UnsafeMutableRawPointer(bitPattern: UInt(address.bits))
  }

  private static func check(_ call: String, _ status: Int32) throws(CUDAFailure) {
    if status != 0 { throw .failed(call: call, code: status, name: "an error of cuBLAS") }
  }

  private struct Functions: Sendable {
    typealias Handle = OpaquePointer?
    typealias Make = @convention(c) (UnsafeMutablePointer<Handle>) -> Int32
    typealias Use = @convention(c) (Handle) -> Int32
    typealias Set = @convention(c) (Handle, Int32, UnsafeRawPointer, Int) -> Int32

    let create: Make
    let destroy: Use
    let makeDescription: @convention(c) (UnsafeMutablePointer<Handle>, Int32, Int32) -> Int32
    let setDescription: Set
    let destroyDescription: Use
    let makeLayout:
      @convention(c) (UnsafeMutablePointer<Handle>, Int32, UInt64, UInt64, Int64) -> Int32
    let destroyLayout: Use
    let makePreference: Make
    let setPreference: Set
    let destroyPreference: Use
    let heuristic:
      @convention(c) (
        Handle, Handle, Handle, Handle, Handle, Handle, Handle, Int32, UnsafeMutableRawPointer,
        UnsafeMutablePointer<Int32>
      ) -> Int32
    let multiply:
      @convention(c) (
        Handle, Handle, UnsafeRawPointer, UnsafeRawPointer?, Handle, UnsafeRawPointer?, Handle,
        UnsafeRawPointer, UnsafeRawPointer?, Handle, UnsafeMutableRawPointer?, Handle,
        UnsafeRawPointer?, UnsafeMutableRawPointer?, Int, Handle
      ) -> Int32

    init(_ library: DynamicLibrary) throws(DynamicLibrary.Failure) {
      create = try library.function("cublasLtCreate")
      destroy = try library.function("cublasLtDestroy")
      makeDescription = try library.function("cublasLtMatmulDescCreate")
      setDescription = try library.function("cublasLtMatmulDescSetAttribute")
      destroyDescription = try library.function("cublasLtMatmulDescDestroy")
      makeLayout = try library.function("cublasLtMatrixLayoutCreate")
      destroyLayout = try library.function("cublasLtMatrixLayoutDestroy")
      makePreference = try library.function("cublasLtMatmulPreferenceCreate")
      setPreference = try library.function("cublasLtMatmulPreferenceSetAttribute")
      destroyPreference = try library.function("cublasLtMatmulPreferenceDestroy")
      heuristic = try library.function("cublasLtMatmulAlgoGetHeuristic")
      multiply = try library.function("cublasLtMatmul")
    }
  }
}
