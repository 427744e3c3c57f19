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
///
/// Without NVRTC, or with one that is newer than the driver, kernels come from the cache alone.
public final class CUDACompiler: Sendable {
  private let context: CUDAContext
  private let nvrtc: Result<NVRTC, CUDAFailure>
  private let cache: CUDAKernelCache
  private let loaded = Mutex<[CUDASource: CUDAModule]>([:])

  /// A compiler.
  ///
  /// - Parameters:
  ///   - context: The device.
  ///   - library: NVRTC's file; by default where it is usually found.
  ///   - cache: Where code is kept.
  public init(
    _ context: CUDAContext, library: String? = nil, cache: CUDAKernelCache = .standard
  ) {
    (self.context, self.cache) = (context, cache)
    nvrtc = Self.open(library, context.driver)
  }

  /// Why nothing can be compiled here, where nothing can.
  public var unavailable: CUDAFailure? {
    if case .failure(let reason) = nvrtc { reason } else { nil }
  }

  private static func open(_ library: String?, _ driver: CUDADriver) -> Result<NVRTC, CUDAFailure> {
    do throws(NVRTC.Unavailable) {
      let nvrtc = try NVRTC(path: library)
      // A driver runs code of its own major version's compilers, whatever their minor version.
      let needed = CUDADriver.Version(nvrtc.version.major, 0)
      return driver.version < needed
        ? .failure(.tooOld(driver: "\(driver.version)", needed: "\(needed)")) : .success(nvrtc)
    } catch { return .failure(.noCompiler(error)) }
  }

  /// The module of a source.
  public func module(_ source: CUDASource) throws(CUDAFailure) -> CUDAModule {
    if let module = loaded.withLock({ $0[source] }) { return module }
    let module = try CUDAModule(context, source, code: code(of: source))
    loaded.withLock { $0[source] = module }
    return module
  }

  /// The code of a source, compiled where the cache does not have it.
  public func code(of source: CUDASource) throws(CUDAFailure) -> [UInt8] {
    switch nvrtc {
    case .success(let nvrtc):
      do throws(NVRTC.Failure) {
        return try nvrtc.code(of: source, cache: cache)
      } catch { throw .kernel(error) }
    case .failure(let reason):
      let key = CUDAKernelCache.Key(source, options: NVRTC.options(for: source.architecture))
      if let code = cache.code(for: key, by: nil) { return code }
      throw reason
    }
  }
}
