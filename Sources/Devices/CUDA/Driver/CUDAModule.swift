import Synchronization

/// Compiled kernels on a device.
public final class CUDAModule: Sendable {
  private nonisolated(unsafe) let handle: CUDAFunctions.Handle
  private let context: CUDAContext
  private let source: CUDASource

  /// Loads code that was compiled from a source for the context's architecture.
  public init(_ context: CUDAContext, _ source: CUDASource, code: [UInt8]) throws(CUDAFailure) {
    var handle: CUDAFunctions.Handle
    handle = nil
    try context.call("cuModuleLoadData of \(source.name)") { functions in
      code.withUnsafeBytes { functions.loadModule(&handle, $0.baseAddress) }
    }
    (self.context, self.source, self.handle) = (context, source, handle)
  }

  deinit { context.release { $0.unloadModule(handle) } }

  /// One of its kernels, ready to be launched; by default its only one.
  public func kernel(_ name: String? = nil) throws(CUDAFailure) -> CUDAKernel {
    let name = name ?? source.entryPoints.first ?? ""
    var function: CUDAFunctions.Handle
    function = nil
    try context.call("cuModuleGetFunction of \(name)") { $0.function(&function, handle, name) }
    let bytes = source.dynamicSharedBytes
    // More than 48 KiB has to be asked for: attribute 8 is the most dynamic shared memory.
    if bytes > 48 << 10 {
      try context.call("cuFuncSetAttribute of \(name)") {
        $0.setFunctionAttribute(function, 8, Int32(clamping: bytes))
      }
    }
    return CUDAKernel(
      module: self, handle: function, name: name, threads: source.threads, sharedBytes: bytes,
      parameterBytes: parameters(function))
  }

  /// The sizes of a kernel's parameters, where the driver tells.
  private func parameters(_ function: CUDAFunctions.Handle) -> [Int]? {
    var sizes: [Int] = []
    while true {
      var (offset, size) = (0, 0)
      let status = context.library {
        // 801 is CUDA_ERROR_NOT_SUPPORTED.
        context.driver.functions.parameter?(function, sizes.count, &offset, &size) ?? 801
      }
      // 1 is CUDA_ERROR_INVALID_VALUE: there is no such parameter.
      switch status {
      case 0: sizes.append(size)
      case 1: return sizes
      default: return nil
      }
    }
  }
}

/// A kernel on a device, and what its launches ask for.
public struct CUDAKernel: Sendable {
  /// Keeps the code loaded.
  let module: CUDAModule
  nonisolated(unsafe) let handle: CUDAFunctions.Handle
  /// Its name in the text.
  public let name: String
  /// Threads of a block.
  public let threads: Int
  /// Dynamic shared memory of a block.
  public let sharedBytes: Int
  /// The sizes of its parameters; nil where the driver is too old to tell.
  let parameterBytes: [Int]?

  /// Refuses a launch whose arguments are not the kernel's parameters: the driver would read past them.
  func check(_ launch: CUDALaunch) throws(CUDAFailure) {
    guard let parameterBytes else { return }
    let sizes = launch.arguments.map(\.byteCount)
    if launch.entryPoint != name || sizes != parameterBytes {
      throw .arguments(kernel: name, expected: parameterBytes, found: sizes)
    }
  }
}

/// NVRTC for a device: modules by their sources, each compiled and loaded once.
public final class CUDACompiler: Sendable {
  private let context: CUDAContext
  private let nvrtc: NVRTC
  private let cache: CUDAKernelCache
  private let loaded = Mutex<[CUDASource: CUDAModule]>([:])

  /// A compiler.
  ///
  /// - Parameters:
  ///   - context: The device.
  ///   - library: NVRTC's file; by default where it is usually found.
  ///   - cache: Where code is kept.
  public init(_ context: CUDAContext, library: String? = nil, cache: CUDAKernelCache)
    throws(CUDAFailure)
  {
    do throws(NVRTC.Unavailable) {
      nvrtc = try NVRTC(path: library)
    } catch {
      throw .noCompiler(error)
    }
    // A driver runs code of its own major version's compilers, whatever their minor version.
    let needed = CUDADriver.Version(nvrtc.version.major, 0)
    guard context.driver.version >= needed else {
      throw .tooOld(driver: "\(context.driver.version)", needed: "\(needed)")
    }
    (self.context, self.cache) = (context, cache)
  }

  /// The module of a source.
  public func module(_ source: CUDASource) throws(CUDAFailure) -> CUDAModule {
    if let module = loaded.withLock({ $0[source] }) { return module }
    let code: [UInt8]
    do throws(NVRTC.Failure) {
      code = try nvrtc.code(of: source, cache: cache)
    } catch {
      throw .kernel(error)
    }
    let module = try CUDAModule(context, source, code: code)
    loaded.withLock { $0[source] = module }
    return module
  }
}
