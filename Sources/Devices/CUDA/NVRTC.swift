import Glibc

/// NVIDIA's run-time compiler, opened at run time: nothing of CUDA is needed to build.
public struct NVRTC: Sendable {
  /// The compiler's version, for example (13, 1).
  public let version: (major: Int, minor: Int)
  /// What it can compile for, as numbers such as 80 and 90.
  public let architectures: [Int]

  private let library: DynamicLibrary
  private let functions: Functions

  /// Why there is no compiler here.
  public enum Unavailable: Error, Hashable, Sendable {
    /// None of these could be opened.
    case notFound(tried: [String])
    /// The library lacks a function.
    case missingFunction(String, library: String)
    /// The library's first call failed.
    case failed(call: String, code: Int32)
  }

  /// Why a kernel has no code.
  public enum Failure: Error, Hashable, Sendable {
    /// The compiler does not know the architecture.
    case unsupported(CUDAArchitecture, version: String)
    /// The text is wrong: what the compiler says, with the lines of the text that it names.
    case rejected(kernel: String, log: String)
    /// A call of the compiler's interface failed.
    case failed(call: String, code: Int32)
  }

  /// What the compiler made of a text.
  public struct Output: Sendable {
    /// Code for one architecture.
    public var cubin: [UInt8]
    /// What the compiler said: registers, memory, spills.
    public var log: String
  }

  /// Opens the compiler.
  ///
  /// - Parameter path: The library's file. Without it: the file that `ATTENTION_NVRTC` names, or what the
  ///   loader, CUDA's usual folder or wheels (`pip install nvidia-cuda-nvrtc`) have.
  public init(path: String? = nil) throws(Unavailable) {
    do throws(DynamicLibrary.Failure) {
      library = try DynamicLibrary(path.map { [$0] } ?? CUDALibrary.nvrtc.candidates)
      functions = try Functions(library)
    } catch {
      switch error {
      case .notFound(let tried, _): throw .notFound(tried: tried)
      case .missingFunction(let name, let library):
        throw .missingFunction(name, library: library)
      }
    }
    (version, architectures) = try functions.describe()
  }

  /// The options that a text is compiled with.
  public static func options(for architecture: CUDAArchitecture) -> [String] {
    [
      "--gpu-architecture=\(architecture.rawValue)", "--std=c++17", "-default-device",
      "--ptxas-options=-v",
    ]
  }

  /// Compiles a kernel to code for its architecture.
  public func compile(_ source: CUDASource) throws(Failure) -> Output {
    guard architectures.contains(source.architecture.number) else {
      throw .unsupported(source.architecture, version: "\(version.major).\(version.minor)")
    }
    var program: OpaquePointer?
    try check(
      "nvrtcCreateProgram",
      functions.create(&program, source.text, source.name + ".cu", 0, nil, nil))
    defer { _ = functions.destroy(&program) }
    let options = Self.options(for: source.architecture).map { strdup($0) }
    defer { for option in options { free(option) } }
    let status = options.map { UnsafePointer($0) }.withUnsafeBufferPointer {
      functions.compile(program, Int32($0.count), $0.baseAddress)
    }
    let log = try text(
      program, ("nvrtcGetProgramLogSize", functions.logSize),
      ("nvrtcGetProgramLog", functions.log))
    // 6 is NVRTC_ERROR_COMPILATION.
    if status == 6 {
      throw .rejected(kernel: source.name, log: CUDASource.explained(log, of: source.text))
    }
    try check("nvrtcCompileProgram", status)
    let cubin = try bytes(
      program, ("nvrtcGetCUBINSize", functions.cubinSize), ("nvrtcGetCUBIN", functions.cubin))
    return Output(cubin: cubin, log: log)
  }

  private func check(_ call: String, _ status: Int32) throws(Failure) {
    if status != 0 { throw .failed(call: call, code: status) }
  }

  private func bytes(
    _ program: OpaquePointer?, _ size: (String, Functions.Size), _ get: (String, Functions.Get)
  ) throws(Failure) -> [UInt8] {
    var count = 0
    try check(size.0, size.1(program, &count))
    var status: Int32 = 0
    let found = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      buffer.initialize(repeating: 0)
      if let base = buffer.baseAddress { status = get.1(program, base) }
      initialized = count
    }
    try check(get.0, status)
    return found
  }

  private func text(
    _ program: OpaquePointer?, _ size: (String, Functions.Size), _ get: (String, Functions.Get)
  ) throws(Failure) -> String {
    String(decoding: try bytes(program, size, get).prefix { $0 != 0 }, as: UTF8.self)
  }

  // MARK: - The library

  private typealias Description = (version: (major: Int, minor: Int), architectures: [Int])

  private struct Functions {
    typealias Status = Int32
    typealias Program = OpaquePointer?
    typealias Create =
      @convention(c) (
        UnsafeMutablePointer<Program>, UnsafePointer<CChar>, UnsafePointer<CChar>, Int32,
        UnsafeRawPointer?, UnsafeRawPointer?
      ) -> Status
    typealias Compile =
      @convention(c) (Program, Int32, UnsafePointer<UnsafePointer<CChar>?>?) -> Status
    typealias Destroy = @convention(c) (UnsafeMutablePointer<Program>) -> Status
    typealias Size = @convention(c) (Program, UnsafeMutablePointer<Int>) -> Status
    typealias Get = @convention(c) (Program, UnsafeMutableRawPointer) -> Status
    typealias Version =
      @convention(c) (UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>) -> Status
    typealias Count = @convention(c) (UnsafeMutablePointer<Int32>) -> Status

    let create: Create
    let compile: Compile
    let destroy: Destroy
    let logSize: Size
    let log: Get
    let cubinSize: Size
    let cubin: Get
    private let version: Version
    private let architectureCount: Count
    private let architectures: Count

    init(_ library: DynamicLibrary) throws(DynamicLibrary.Failure) {
      create = try library.function("nvrtcCreateProgram")
      compile = try library.function("nvrtcCompileProgram")
      destroy = try library.function("nvrtcDestroyProgram")
      logSize = try library.function("nvrtcGetProgramLogSize")
      log = try library.function("nvrtcGetProgramLog")
      cubinSize = try library.function("nvrtcGetCUBINSize")
      cubin = try library.function("nvrtcGetCUBIN")
      version = try library.function("nvrtcVersion")
      architectureCount = try library.function("nvrtcGetNumSupportedArchs")
      architectures = try library.function("nvrtcGetSupportedArchs")
    }

    func describe() throws(Unavailable) -> Description {
      var (major, minor, count): (Int32, Int32, Int32) = (0, 0, 0)
      var status = version(&major, &minor)
      guard status == 0 else { throw .failed(call: "nvrtcVersion", code: status) }
      status = architectureCount(&count)
      guard status == 0 else { throw .failed(call: "nvrtcGetNumSupportedArchs", code: status) }
      var numbers = [Int32](repeating: 0, count: Int(max(count, 0)) + 1)
      status = architectures(&numbers)
      guard status == 0 else { throw .failed(call: "nvrtcGetSupportedArchs", code: status) }
      return ((Int(major), Int(minor)), numbers.dropLast().map { Int($0) })
    }
  }
}

extension CUDAArchitecture {
  /// The compute capability in one number: 90 for sm_90a.
  public var number: Int { Int(rawValue.filter(\.isNumber)) ?? 0 }
}

extension NVRTC.Unavailable: CustomStringConvertible {
  /// What is missing, and where it comes from.
  public var description: String {
    switch self {
    case .notFound(let tried):
      "no NVRTC on this machine (tried \(tried.joined(separator: ", "))): install CUDA's run-time "
        + "compiler, for example with `pip install nvidia-cuda-nvrtc`, and name the library in "
        + "ATTENTION_NVRTC"
    case .missingFunction(let name, let library): "\(library) has no \(name); it is too old"
    case .failed(let call, let code): "NVRTC's \(call) failed with error \(code)"
    }
  }
}

extension NVRTC.Failure: CustomStringConvertible {
  /// What went wrong.
  public var description: String {
    switch self {
    case .unsupported(let architecture, let version):
      "NVRTC \(version) does not compile for \(architecture.rawValue)"
    case .rejected(let kernel, let log): "NVRTC rejects \(kernel):\n\(log)"
    case .failed(let call, let code): "NVRTC's \(call) failed with error \(code)"
    }
  }
}
