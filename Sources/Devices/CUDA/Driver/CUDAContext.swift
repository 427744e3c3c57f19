package import Tensors

/// A device in use: its memory, streams and kernels.
///
/// All of a process's contexts of a device share its primary context, as CUDA's own libraries do.
public final class CUDAContext: Sendable {
  /// The driver.
  public let driver: CUDADriver
  /// The device.
  public let device: CUDADriver.Device
  /// What kernels are compiled for.
  public let architecture: CUDAArchitecture
  // The driver's functions may be called by any thread.
  private nonisolated(unsafe) let handle: CUDAFunctions.Handle

  /// Takes a device into use.
  ///
  /// - Parameter index: Its place in the driver's list.
  public init(_ driver: CUDADriver, device index: Int = 0) throws(CUDAFailure) {
    guard driver.devices.indices.contains(index) else {
      throw .noDevice(index: index, count: driver.devices.count)
    }
    let device = driver.devices[index]
    guard let architecture = device.architecture else {
      throw .architecture(
        device: device.name,
        capability: device.computeCapability.map(String.init).joined(separator: "."))
    }
    var handle: CUDAFunctions.Handle
    handle = nil
    let status = driver.functions.retainContext(&handle, device.handle)
    guard status == 0 else {
      throw driver.functions.failure("cuDevicePrimaryCtxRetain", status)
    }
    (self.driver, self.device, self.architecture) = (driver, device, architecture)
    self.handle = handle
  }

  deinit { _ = driver.functions.releaseContext(device.handle) }

  /// Calls a function of the driver for this device.
  func call(_ name: String, _ body: (CUDAFunctions) -> Int32) throws(CUDAFailure) {
    // A thread that has not used this context before has none, or another.
    var status = driver.functions.setContext(handle)
    guard status == 0 else { throw driver.functions.failure("cuCtxSetCurrent", status) }
    status = body(driver.functions)
    if status != 0 { throw driver.functions.failure(name, status) }
  }

  /// Calls a function of another library for this device.
  func library(_ body: () -> Int32) -> Int32 {
    let status = driver.functions.setContext(handle)
    return status == 0 ? body() : status
  }

  /// Gives something back that a call has made; nothing can be done where that fails.
  func release(_ body: (CUDAFunctions) -> Int32) {
    _ = driver.functions.setContext(handle)
    _ = body(driver.functions)
  }

  /// What is free of the device's memory, and all of it.
  public func memory() throws(CUDAFailure) -> (free: Int, total: Int) {
    var (free, total) = (0, 0)
    try call("cuMemGetInfo") { $0.memoryInfo(&free, &total) }
    return (free, total)
  }

  /// Memory on the device.
  public func allocate(bytes: Int) throws(CUDAFailure) -> CUDABuffer {
    var address: UInt64 = 0
    let size = max(bytes, 16)
    do throws(CUDAFailure) {
      try call("cuMemAlloc") { $0.allocate(&address, size) }
    } catch {
      throw outOfMemory(error, bytes)
    }
    return CUDABuffer(self, CUDAAddress(bits: address), byteCount: bytes)
  }

  /// Memory of this process that the device can read while the processor goes on.
  public func allocatePinned(bytes: Int) throws(CUDAFailure) -> CUDAPinnedBuffer {
    var base: UnsafeMutableRawPointer?
    do throws(CUDAFailure) {
      try call("cuMemAllocHost") { $0.allocateHost(&base, max(bytes, 16)) }
    } catch {
      throw outOfMemory(error, bytes)
    }
    return CUDAPinnedBuffer(
      self, UnsafeMutableRawBufferPointer(start: base, count: base == nil ? 0 : max(bytes, 0)))
  }

  private func outOfMemory(_ failure: CUDAFailure, _ bytes: Int) -> CUDAFailure {
    // 2 is CUDA_ERROR_OUT_OF_MEMORY.
    guard case .failed(_, 2, _) = failure else { return failure }
    let (free, total) = (try? memory()) ?? (0, device.memory)
    return .outOfMemory(bytes: bytes, free: free, of: total)
  }

  /// How a pool of keys or values in 16 bits is read by TMA in boxes of 16 tokens × 64 elements.
  ///
  /// - Parameters:
  ///   - base: The first element.
  ///   - type: `.bfloat16` or `.float16`.
  ///   - sizes: Elements of a row, tokens of a page, heads, pages.
  ///   - strides: Elements from one token, head and page to the next; multiples of 8.
  package func tensorMap(
    _ base: CUDAAddress, _ type: ElementType, sizes: [Int], strides: [Int]
  ) throws(CUDAFailure) -> [UInt8] {
    let map = UnsafeMutableRawBufferPointer.allocate(byteCount: 128, alignment: 128)
    defer { map.deallocate() }
    map.initializeMemory(as: UInt8.self, repeating: 0)
    // 6 and 9 are CUDA's numbers of half and bfloat16; the swizzle 3 is that of 128 bytes, which are also
    // what the second cache fetches at a time (2).
    let format: Int32 = type == .bfloat16 ? 9 : 6
    try call("cuTensorMapEncodeTiled") { functions in
      guard let to = map.baseAddress else { return 1 }
      return functions.encodeTensorMap(
        to, format, 4, base.bits, sizes.map { UInt64($0) }, strides.map { UInt64(2 * $0) },
        [64, 16, 1, 1], [1, 1, 1, 1], 0, 3, 2, 0)
    }
    return Array(map)
  }
}

/// Memory on a device, given back with its last owner.
public final class CUDABuffer: Sendable {
  /// Where it begins.
  public let address: CUDAAddress
  /// Its size.
  public let byteCount: Int
  private let context: CUDAContext

  fileprivate init(_ context: CUDAContext, _ address: CUDAAddress, byteCount: Int) {
    (self.context, self.address, self.byteCount) = (context, address, byteCount)
  }

  deinit { context.release { $0.free(address.bits) } }
}

/// Memory of this process that stays in place, given back with its last owner.
///
/// - Invariant: Whoever shares it between threads, or with a copy that is under way, sees to it that
///   nobody writes what another reads.
public final class CUDAPinnedBuffer: @unchecked Sendable {
  /// The memory.
  public let bytes: UnsafeMutableRawBufferPointer
  private let context: CUDAContext

  fileprivate init(_ context: CUDAContext, _ bytes: UnsafeMutableRawBufferPointer) {
    (self.context, self.bytes) = (context, bytes)
  }

  deinit { context.release { $0.freeHost(bytes.baseAddress) } }
}
