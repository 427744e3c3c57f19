import Devices
import StubCUDA
import Tensors

/// What checks run on: a GPU, or the stub driver, whose launches the emulator does.
///
/// Whatever runs on it goes through the driver's interface either way.
final class CheckDevice {
  /// The processor that plans and computes references.
  let host: CPUDevice
  let context: CUDAContext
  /// Where a check's work goes.
  let stream: CUDAStream
  /// The library of everything of CUDA's that the stub has; nil on a GPU.
  let stub: DynamicLibrary?
  private let load: (CUDASource) throws(CUDAFailure) -> CUDAModule
  private let emulation: Emulation?
  /// Whether launches are done by this processor.
  var isEmulated: Bool { emulation != nil }
  private var loaded: [CUDASource: CUDAModule] = [:]

  /// A GPU, and what makes its kernels' code.
  init(_ context: CUDAContext, host: CPUDevice, compiler: CUDACompiler) throws {
    (self.context, self.host) = (context, host)
    stream = try CUDAStream(context)
    load = { source throws(CUDAFailure) in try compiler.module(source) }
    emulation = nil
    stub = nil
  }

  /// The stub driver.
  private init(
    host: CPUDevice, emulation: Emulation?,
    load: @escaping (CUDASource, CUDAContext) throws(CUDAFailure) -> CUDAModule
  ) throws {
    let stub = DynamicLibrary(name: "stub") { stub_cuda_symbol($0) }
    let context = try CUDAContext(CUDADriver(stub))
    self.stub = stub
    (self.context, self.host, self.emulation) = (context, host, emulation)
    stream = try CUDAStream(context)
    self.load = { source throws(CUDAFailure) in try load(source, context) }
  }

  /// Calls a function with a device of an architecture that the emulator plays, which is gone afterwards.
  ///
  /// Throws also where something that was made has not been given back.
  static func withEmulated<Result>(
    _ architecture: CUDAArchitecture, _ emulator: Emulator, host: CPUDevice,
    _ body: (CheckDevice) throws -> Result
  ) throws -> Result {
    reset(architecture)
    defer { stub_cuda_end() }
    let emulation = Emulation(emulator)
    stub_cuda_on_launch(
      { context, module, name, arguments, blocks, threads, bytes in
        guard let context, let name else { return }
        Unmanaged<Emulation>.fromOpaque(context).takeUnretainedValue().run(
          Int(module), String(cString: name), arguments, blocks: blocks, threads: threads,
          bytes: bytes)
      }, Unmanaged.passUnretained(emulation).toOpaque())
    let result = try body(
      CheckDevice(host: host, emulation: emulation) { source, context throws(CUDAFailure) in
        try emulation.load(source, context)
      })
    guard stub_cuda_alive() == 0 else {
      throw Emulator.Failure.library(
        "\(stub_cuda_alive()) things were not given back to the driver")
    }
    return result
  }

  /// Calls a function with a device whose launches do nothing.
  ///
  /// - Parameter take: Is given each source that would be loaded.
  static func withStub(
    _ architecture: CUDAArchitecture, host: CPUDevice,
    _ take: @escaping (CUDASource) throws(CUDAFailure) -> Void,
    body: (CheckDevice) throws -> Void
  ) throws {
    reset(architecture)
    defer { stub_cuda_end() }
    try body(
      CheckDevice(host: host, emulation: nil) { source, context throws(CUDAFailure) in
        try take(source)
        return try CUDAModule(context, source, code: [0])
      })
  }

  /// Takes the process's stub driver, and makes it a device of an architecture.
  private static func reset(_ architecture: CUDAArchitecture) {
    stub_cuda_begin()
    let number = Int32(architecture.number)
    stub_cuda_reset(13000, number / 10, number % 10, 4 << 30)
  }

  /// The kernels of a source, compiled and loaded once.
  func module(_ source: CUDASource) throws(CUDAFailure) -> CUDAModule {
    if let module = loaded[source] { return module }
    let module = try load(source)
    loaded[source] = module
    return module
  }

  /// How many sources have been loaded.
  var moduleCount: Int32 { Int32(loaded.count) }

  /// The device for models.
  func models(_ group: NCCL? = nil) throws -> CUDADevice {
    // A check uses it in one thread at a time.
    nonisolated(unsafe) let device = self
    return try CUDADevice(
      context, products: CUBLASLt(context, library: stub), group: group
    ) { source throws(CUDAFailure) in try device.module(source) }
  }

  /// Launches a kernel of a source.
  func launch(_ launch: CUDALaunch, of source: CUDASource) throws {
    try stream.launch(module(source).kernel(launch.entryPoint), launch)
  }

  /// Waits until all work so far is done, and throws what the emulation of a launch threw.
  func synchronize() throws {
    try stream.synchronize()
    if let failure = emulation?.failure { throw failure }
  }

  /// Memory on the device with what a buffer holds, when the stream has come so far.
  func copy(of buffer: AlignedBuffer) throws -> CUDABuffer {
    let copy = try context.allocate(bytes: buffer.bytes.count)
    try stream.copy(UnsafeRawBufferPointer(buffer.bytes), to: copy.address)
    return copy
  }
}

/// The programs of the modules that a stub driver has loaded.
private final class Emulation {
  private let emulator: Emulator
  private var programs: [Emulator.Program] = []
  /// What went wrong in a launch, whose caller has long gone on.
  private(set) var failure: (any Error)?

  init(_ emulator: Emulator) { self.emulator = emulator }

  func load(_ source: CUDASource, _ context: CUDAContext) throws(CUDAFailure) -> CUDAModule {
    do {
      let program = try emulator.load(source)
      programs.append(program)
      for name in source.entryPoints {
        let sizes = try program.parameters(of: name)
        stub_cuda_declare(Int32(programs.count), name, sizes, Int32(sizes.count))
      }
    } catch { throw .unsupported("\(error)") }
    return try CUDAModule(context, source, code: Array("stub \(programs.count)\0".utf8))
  }

  func run(
    _ module: Int, _ name: String, _ arguments: Emulator.Program.Arguments?, blocks: Int32,
    threads: Int32, bytes: Int32
  ) {
    do {
      guard programs.indices.contains(module - 1) else { throw Emulator.Failure.noKernel(name) }
      try programs[module - 1].run(
        name, arguments, blocks: blocks, threads: threads, bytes: bytes)
    } catch { failure = failure ?? error }
  }
}
