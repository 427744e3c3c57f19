public import Tensors

/// A GPU with what running a model takes: kernels that are compiled when they are first asked for, matrix
/// products, and the stream in which all of it happens.
///
/// Not for use by two threads at once.
public final class CUDADevice: Sendable {
  /// The device in use.
  public let context: CUDAContext
  /// Where all work goes, in order.
  public let stream: CUDAStream
  /// Matrix products.
  public let products: CUBLASLt
  /// The GPUs that compute together with this one; nil where it is alone.
  public let group: NCCL?
  private let compile: @Sendable (CUDASource) throws(CUDAFailure) -> CUDAModule

  /// Takes a GPU of this machine into use.
  ///
  /// - Parameters:
  ///   - index: Its place in the driver's list.
  ///   - cache: Where kernels' code is kept.
  /// - Throws: where the driver, the device or cuBLASLt is missing.
  public convenience init(index: Int = 0, cache: CUDAKernelCache = .standard) throws(CUDAFailure) {
    let context = try CUDAContext(CUDADriver(), device: index)
    let compiler = CUDACompiler(context, cache: cache)
    try self.init(context, products: CUBLASLt(context)) { source throws(CUDAFailure) in
      try compiler.module(source)
    }
  }

  /// A device as a member of a group.
  public convenience init(_ device: CUDADevice, joining group: NCCL) throws(CUDAFailure) {
    try self.init(
      device.context, products: device.products, group: group, compile: device.compile)
  }

  /// A device of given parts.
  ///
  /// - Parameters:
  ///   - group: The GPUs that compute together with this one, of which this is a member.
  ///   - compile: Compiles and loads a source, the same one once.
  public init(
    _ context: CUDAContext, products: CUBLASLt, group: NCCL? = nil,
    compile: @escaping @Sendable (CUDASource) throws(CUDAFailure) -> CUDAModule
  ) throws(CUDAFailure) {
    (self.context, self.products, self.group) = (context, products, group)
    self.compile = compile
    stream = try CUDAStream(context)
  }

  /// The kernels of a source.
  public func module(_ source: CUDASource) throws(CUDAFailure) -> CUDAModule { try compile(source) }

  /// A family of operators, ready to be launched.
  public func operators(
    _ family: CUDAOperators.Family, type: ElementType, storedType: ElementType? = nil
  ) throws(CUDAFailure) -> CUDAOperatorKernels {
    let operators: CUDAOperators
    do throws(CUDAOperators.Unsupported) {
      operators = try CUDAOperators(
        family, type: type, storedType: storedType, architecture: context.architecture)
    } catch { throw .unsupported("\(error)") }
    let source = operators.source
    let module = try compile(source)
    var kernels: [String: CUDAKernel] = [:]
    for name in source.entryPoints { kernels[name] = try module.kernel(name) }
    return CUDAOperatorKernels(operators: operators, kernels: kernels)
  }

  /// Memory that holds some values.
  public func buffer<T: BitwiseCopyable>(of values: [T]) throws(CUDAFailure) -> CUDABuffer {
    let buffer = try context.allocate(bytes: values.count * MemoryLayout<T>.stride)
    var failure: CUDAFailure?
    values.withUnsafeBytes { bytes in
      do throws(CUDAFailure) {
        try stream.copy(bytes, to: buffer.address)
        try stream.synchronize()
      } catch { failure = error }
    }
    if let failure { throw failure }
    return buffer
  }
}

/// A family of operators' kernels on a device.
public struct CUDAOperatorKernels: Sendable {
  /// What makes their launches.
  public let operators: CUDAOperators
  fileprivate let kernels: [String: CUDAKernel]

  fileprivate init(operators: CUDAOperators, kernels: [String: CUDAKernel]) {
    (self.operators, self.kernels) = (operators, kernels)
  }

  /// Asks for a launch of one of them.
  public func launch(on stream: CUDAStream, _ make: (CUDAOperators) -> CUDALaunch)
    throws(CUDAFailure)
  {
    let launch = make(operators)
    guard let kernel = kernels[launch.entryPoint] else {
      throw .unsupported("\(operators.family.rawValue) has no kernel \(launch.entryPoint)")
    }
    try stream.launch(kernel, launch)
  }
}
