/// The driver's functions that are used, as `cuda.h` declares them.
struct CUDAFunctions: Sendable {
  typealias Status = Int32
  typealias Handle = OpaquePointer?
  typealias Make = @convention(c) (UnsafeMutablePointer<Handle>, UInt32) -> Status
  typealias Use = @convention(c) (Handle) -> Status
  typealias Pair = @convention(c) (Handle, Handle) -> Status
  typealias Number = @convention(c) (UnsafeMutablePointer<Int32>) -> Status
  typealias Text =
    @convention(c) (Status, UnsafeMutablePointer<UnsafePointer<CChar>?>) -> Status

  let initialize: @convention(c) (UInt32) -> Status
  let version: Number
  let errorName: Text
  let deviceCount: Number
  let device: @convention(c) (UnsafeMutablePointer<Int32>, Int32) -> Status
  let deviceName: @convention(c) (UnsafeMutablePointer<CChar>, Int32, Int32) -> Status
  let deviceMemory: @convention(c) (UnsafeMutablePointer<Int>, Int32) -> Status
  let deviceAttribute: @convention(c) (UnsafeMutablePointer<Int32>, Int32, Int32) -> Status

  let retainContext: @convention(c) (UnsafeMutablePointer<Handle>, Int32) -> Status
  let releaseContext: @convention(c) (Int32) -> Status
  let setContext: Use
  let memoryInfo: @convention(c) (UnsafeMutablePointer<Int>, UnsafeMutablePointer<Int>) -> Status
  let allocate: @convention(c) (UnsafeMutablePointer<UInt64>, Int) -> Status
  let free: @convention(c) (UInt64) -> Status
  let allocateHost: @convention(c) (UnsafeMutablePointer<UnsafeMutableRawPointer?>, Int) -> Status
  let freeHost: @convention(c) (UnsafeMutableRawPointer?) -> Status

  let makeStream: Make
  let destroyStream: Use
  let synchronizeStream: Use
  let waitForEvent: @convention(c) (Handle, Handle, UInt32) -> Status
  let makeEvent: Make
  let destroyEvent: Use
  let recordEvent: Pair
  let synchronizeEvent: Use
  let elapsedTime: @convention(c) (UnsafeMutablePointer<Float>, Handle, Handle) -> Status
  let copyToDevice: @convention(c) (UInt64, UnsafeRawPointer?, Int, Handle) -> Status
  let copyToHost: @convention(c) (UnsafeMutableRawPointer?, UInt64, Int, Handle) -> Status
  let copy: @convention(c) (UInt64, UInt64, Int, Handle) -> Status
  let fill: @convention(c) (UInt64, UInt8, Int, Handle) -> Status

  let loadModule: @convention(c) (UnsafeMutablePointer<Handle>, UnsafeRawPointer?) -> Status
  let unloadModule: Use
  let function:
    @convention(c) (UnsafeMutablePointer<Handle>, Handle, UnsafePointer<CChar>) -> Status
  let setFunctionAttribute: @convention(c) (Handle, Int32, Int32) -> Status
  /// Of drivers of CUDA 12.4 and later.
  let parameter:
    (
      @convention(c) (Handle, Int, UnsafeMutablePointer<Int>, UnsafeMutablePointer<Int>) -> Status
    )?
  let launch:
    @convention(c) (
      Handle, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, Handle,
      UnsafeMutablePointer<UnsafeMutableRawPointer?>?, UnsafeMutableRawPointer?
    ) -> Status

  let launchTogether:
    @convention(c) (
      Handle, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, Handle,
      UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) -> Status

  let beginCapture: @convention(c) (Handle, Int32) -> Status
  let endCapture: @convention(c) (Handle, UnsafeMutablePointer<Handle>) -> Status
  let instantiate: @convention(c) (UnsafeMutablePointer<Handle>, Handle, UInt64) -> Status
  let launchGraph: Pair
  let destroyGraph: Use
  let destroyExecutable: Use
  /// Of drivers of CUDA 12 and later.
  let encodeTensorMap:
    @convention(c) (
      UnsafeMutableRawPointer, Int32, UInt32, UInt64, UnsafePointer<UInt64>,
      UnsafePointer<UInt64>, UnsafePointer<UInt32>, UnsafePointer<UInt32>, Int32, Int32, Int32,
      Int32
    ) -> Status

  init(_ library: DynamicLibrary) throws(DynamicLibrary.Failure) {
    initialize = try library.function("cuInit")
    version = try library.function("cuDriverGetVersion")
    errorName = try library.function("cuGetErrorName")
    deviceCount = try library.function("cuDeviceGetCount")
    device = try library.function("cuDeviceGet")
    deviceName = try library.function("cuDeviceGetName")
    deviceMemory = try library.function("cuDeviceTotalMem_v2")
    deviceAttribute = try library.function("cuDeviceGetAttribute")
    retainContext = try library.function("cuDevicePrimaryCtxRetain")
    releaseContext = try library.function("cuDevicePrimaryCtxRelease_v2")
    setContext = try library.function("cuCtxSetCurrent")
    memoryInfo = try library.function("cuMemGetInfo_v2")
    allocate = try library.function("cuMemAlloc_v2")
    free = try library.function("cuMemFree_v2")
    allocateHost = try library.function("cuMemAllocHost_v2")
    freeHost = try library.function("cuMemFreeHost")
    makeStream = try library.function("cuStreamCreate")
    destroyStream = try library.function("cuStreamDestroy_v2")
    synchronizeStream = try library.function("cuStreamSynchronize")
    waitForEvent = try library.function("cuStreamWaitEvent")
    makeEvent = try library.function("cuEventCreate")
    destroyEvent = try library.function("cuEventDestroy_v2")
    recordEvent = try library.function("cuEventRecord")
    synchronizeEvent = try library.function("cuEventSynchronize")
    elapsedTime = try library.function("cuEventElapsedTime")
    copyToDevice = try library.function("cuMemcpyHtoDAsync_v2")
    copyToHost = try library.function("cuMemcpyDtoHAsync_v2")
    copy = try library.function("cuMemcpyDtoDAsync_v2")
    fill = try library.function("cuMemsetD8Async")
    loadModule = try library.function("cuModuleLoadData")
    unloadModule = try library.function("cuModuleUnload")
    function = try library.function("cuModuleGetFunction")
    setFunctionAttribute = try library.function("cuFuncSetAttribute")
    parameter = try? library.function("cuFuncGetParamInfo")
    launch = try library.function("cuLaunchKernel")
    launchTogether = try library.function("cuLaunchCooperativeKernel")
    beginCapture = try library.function("cuStreamBeginCapture_v2")
    endCapture = try library.function("cuStreamEndCapture")
    instantiate = try library.function("cuGraphInstantiateWithFlags")
    launchGraph = try library.function("cuGraphLaunch")
    destroyGraph = try library.function("cuGraphDestroy")
    destroyExecutable = try library.function("cuGraphExecDestroy")
    encodeTensorMap = try library.function("cuTensorMapEncodeTiled")
  }
}
