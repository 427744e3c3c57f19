import Glibc

/// The CUDA driver, opened at run time: nothing of CUDA is needed to build or to run without it.
public final class CUDADriver: Sendable {
  /// The version of CUDA that the driver belongs to, for example (12, 8).
  public let version: Version
  /// The graphics processors it offers.
  public let devices: [Device]
  let functions: CUDAFunctions
  private let library: DynamicLibrary

  /// A version of CUDA.
  public struct Version: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// 12 of 12.8.
    public var major: Int
    /// 8 of 12.8.
    public var minor: Int

    /// A version.
    public init(_ major: Int, _ minor: Int) { (self.major, self.minor) = (major, minor) }

    /// Whether a version is older.
    public static func < (a: Version, b: Version) -> Bool {
      (a.major, a.minor) < (b.major, b.minor)
    }

    /// As CUDA writes it.
    public var description: String { "\(major).\(minor)" }
  }

  /// The oldest driver that has all that is used: tensor maps came with CUDA 12.
  public static let oldest = Version(12, 0)

  /// A graphics processor.
  public struct Device: Sendable, Hashable {
    /// Its place in the driver's list.
    public var index: Int
    /// Its name.
    public var name: String
    /// Its memory in bytes.
    public var memory: Int
    /// Its compute capability, for example (9, 0).
    public var computeCapability: [Int]
    /// How many blocks of a persistent kernel it runs at a time.
    public var multiprocessors: Int
    /// The most that a multiprocessor's clock does, in hertz; 0 where the driver does not say.
    public var clockRate: Double
    /// What memory delivers on paper, in bytes a second; 0 where the driver does not say.
    public var memoryBandwidth: Double
    let handle: Int32

    /// What kernels for it are compiled for, where there are any.
    ///
    /// Code for one minor version runs on later ones of the same major version, but for sm_90a's.
    public var architecture: CUDAArchitecture? {
      switch (computeCapability[0], computeCapability[1]) {
      case (8, 0..<6): .sm80
      case (8, 6..<9): .sm86
      case (8, 9...): .sm89
      case (9, 0): .sm90a
      case (10, _): .sm100
      default: nil
      }
    }
  }

  /// Opens the driver and lists its devices.
  ///
  /// - Parameter path: The library's file; by default `ATTENTION_CUDA_DRIVER`, or the loader's
  ///   `libcuda.so.1`.
  public convenience init(path: String? = nil) throws(CUDAFailure) {
    let path =
      path ?? getenv("ATTENTION_CUDA_DRIVER").map { String(cString: $0) } ?? "libcuda.so.1"
    let library: DynamicLibrary
    do throws(DynamicLibrary.Failure) {
      library = try DynamicLibrary([path])
    } catch {
      throw CUDAFailure(error)
    }
    try self.init(library)
  }

  /// The driver in a library.
  public init(_ library: DynamicLibrary) throws(CUDAFailure) {
    // A driver that is too old may lack functions: its version comes first.
    version = try Self.version(library)
    if version < Self.oldest {
      throw .tooOld(driver: "\(version)", needed: "\(Self.oldest)")
    }
    self.library = library
    do throws(DynamicLibrary.Failure) {
      functions = try CUDAFunctions(library)
    } catch {
      throw CUDAFailure(error)
    }
    devices = try Self.devices(functions)
  }

  private static func version(_ library: DynamicLibrary) throws(CUDAFailure) -> Version {
    let get: CUDAFunctions.Number
    do throws(DynamicLibrary.Failure) {
      get = try library.function("cuDriverGetVersion")
    } catch {
      throw CUDAFailure(error)
    }
    var number: Int32 = 0
    let status = get(&number)
    guard status == 0 else {
      throw .failed(call: "cuDriverGetVersion", code: status, name: "a driver without a version")
    }
    return Version(Int(number) / 1000, Int(number) % 1000 / 10)
  }

  private static func devices(_ f: CUDAFunctions) throws(CUDAFailure) -> [Device] {
    func check(_ call: String, _ status: Int32) throws(CUDAFailure) {
      if status != 0 { throw f.failure(call, status) }
    }
    try check("cuInit", f.initialize(0))
    var count: Int32 = 0
    try check("cuDeviceGetCount", f.deviceCount(&count))
    guard count > 0 else { throw .noDevice(index: 0, count: 0) }
    var devices: [Device] = []
    for i in 0..<count {
      var device: Int32 = 0
      var name = [CChar](repeating: 0, count: 256)
      var memory = 0
      try check("cuDeviceGet", f.device(&device, i))
      // The driver writes at most 255 characters and their terminator.
      try check("cuDeviceGetName", f.deviceName(&name, 255, device))
      try check("cuDeviceTotalMem", f.deviceMemory(&memory, device))
      func attribute(_ number: Int32) throws(CUDAFailure) -> Int {
        var value: Int32 = 0
        try check("cuDeviceGetAttribute", f.deviceAttribute(&value, number, device))
        return Int(value)
      }
      // Attributes 75 and 76 are the compute capability's two numbers, 16 the multiprocessors.
      let (major, minor, multiprocessors) = (
        try attribute(75), try attribute(76), try attribute(16)
      )
      // 13 and 36 are the clocks of multiprocessors and memory in kilohertz, 37 the bits of memory's bus,
      // which moves some at both edges of the clock.
      let (clock, memoryClock, bus) = (try attribute(13), try attribute(36), try attribute(37))
      let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      devices.append(
        Device(
          index: Int(i), name: String(decoding: bytes, as: UTF8.self), memory: memory,
          computeCapability: [major, minor], multiprocessors: multiprocessors,
          clockRate: Double(clock) * 1e3,
          memoryBandwidth: Double(memoryClock) * 1e3 * 2 * Double(bus) / 8, handle: device))
    }
    return devices
  }
}

extension CUDAFunctions {
  /// What a call's error number means.
  func failure(_ call: String, _ status: Status) -> CUDAFailure {
    if status == 100 { return .noDevice(index: 0, count: 0) }
    var name: UnsafePointer<CChar>?
    let found = errorName(status, &name) == 0 ? name.map { String(cString: $0) } : nil
    return .failed(call: call, code: status, name: found ?? "which the driver has no name for")
  }
}

extension CUDAFailure {
  /// Why a library of CUDA's, by default the driver, cannot be used.
  init(_ failure: DynamicLibrary.Failure, library name: String? = nil) {
    switch failure {
    case .missingFunction(let function, let library):
      self = .missingFunction(function, library: library)
    case .notFound(_, let reason):
      self = name.map { .noLibrary($0, reason: reason) } ?? .noDriver(reason: reason)
    }
  }
}
