import Glibc

/// The CUDA driver, opened at run time: nothing of CUDA is needed to build or to run without it.
public struct CUDADriver: ~Copyable {
  /// The graphics processors it offers.
  public let devices: [Device]

  private let library: UnsafeMutableRawPointer

  /// A graphics processor.
  public struct Device: Sendable, Hashable {
    /// Its name.
    public var name: String
    /// Its memory in bytes.
    public var memory: Int
    /// Its compute capability, for example (9, 0).
    public var computeCapability: [Int]
  }

  /// Why there is no CUDA here.
  public enum Unavailable: Error, Hashable, Sendable {
    /// The driver's library is not installed.
    case noDriver(String)
    /// The library lacks a function that every driver of the last ten years has.
    case missingFunction(String)
    /// A call to the driver failed with CUDA's error number.
    case failed(call: String, code: Int32)
    /// The driver found no device.
    case noDevice
  }

  /// Opens the driver and lists its devices.
  public init() throws(Unavailable) {
    guard let library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL) else {
      throw .noDriver(dlerror().map { String(cString: $0) } ?? "libcuda.so.1 cannot be opened")
    }
    do throws(Unavailable) {
      devices = try Self.devices(library)
    } catch {
      dlclose(library)
      throw error
    }
    self.library = library
  }

  deinit { dlclose(library) }

  private typealias Status = Int32
  private typealias Init = @convention(c) (UInt32) -> Status
  private typealias GetCount = @convention(c) (UnsafeMutablePointer<Int32>) -> Status
  private typealias Get = @convention(c) (UnsafeMutablePointer<Int32>, Int32) -> Status
  private typealias GetName =
    @convention(c) (UnsafeMutablePointer<CChar>, Int32, Int32) -> Status
  private typealias TotalMemory = @convention(c) (UnsafeMutablePointer<Int>, Int32) -> Status
  private typealias GetAttribute =
    @convention(c) (UnsafeMutablePointer<Int32>, Int32, Int32) -> Status

  private static func devices(_ library: UnsafeMutableRawPointer) throws(Unavailable) -> [Device] {
    func function<F>(_ name: String, _ type: F.Type) throws(Unavailable) -> F {
      guard let symbol = dlsym(library, name) else { throw .missingFunction(name) }
      return unsafeBitCast(symbol, to: type)
    }
    func check(_ call: String, _ status: Status) throws(Unavailable) {
      guard status == 0 else {
        throw status == 100 ? .noDevice : .failed(call: call, code: status)
      }
    }
    try check("cuInit", function("cuInit", Init.self)(0))
    var count: Int32 = 0
    try check("cuDeviceGetCount", function("cuDeviceGetCount", GetCount.self)(&count))
    guard count > 0 else { throw .noDevice }
    let get = try function("cuDeviceGet", Get.self)
    let getName = try function("cuDeviceGetName", GetName.self)
    let totalMemory = try function("cuDeviceTotalMem_v2", TotalMemory.self)
    let getAttribute = try function("cuDeviceGetAttribute", GetAttribute.self)
    var devices: [Device] = []
    for i in 0..<count {
      var device: Int32 = 0
      var name = [CChar](repeating: 0, count: 256)
      var memory = 0
      var major: Int32 = 0
      var minor: Int32 = 0
      try check("cuDeviceGet", get(&device, i))
      // The driver writes at most 255 characters and their terminator.
      try check("cuDeviceGetName", getName(&name, 255, device))
      try check("cuDeviceTotalMem", totalMemory(&memory, device))
      // Attributes 75 and 76 are the compute capability's two numbers.
      try check("cuDeviceGetAttribute", getAttribute(&major, 75, device))
      try check("cuDeviceGetAttribute", getAttribute(&minor, 76, device))
      let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      devices.append(
        Device(
          name: String(decoding: bytes, as: UTF8.self), memory: memory,
          computeCapability: [Int(major), Int(minor)]))
    }
    return devices
  }
}

extension CUDADriver.Unavailable: CustomStringConvertible {
  /// What is missing.
  public var description: String {
    switch self {
    case .noDriver(let reason): "no CUDA driver on this machine (\(reason))"
    case .missingFunction(let name): "the CUDA driver has no \(name); it is too old"
    case .failed(let call, let code): "the CUDA driver's \(call) failed with error \(code)"
    case .noDevice: "the CUDA driver is installed but finds no device"
    }
  }
}
