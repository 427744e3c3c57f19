import Devices
import StubCUDA
import Testing

/// The driver's side on a driver without a GPU: what is asked of it, in which order, and what is said
/// where it refuses.
@Suite struct CUDADriverTests {
  /// Runs a body with the stub, and sees that everything has been given back.
  private func withStub(
    version: Int32 = 13000, capability: (Int32, Int32) = (9, 0), memory: Int = 1 << 20,
    prepare: () -> Void = {}, _ body: (() throws -> CUDADriver) throws -> Void
  ) rethrows {
    stub_cuda_begin()
    defer { stub_cuda_end() }
    stub_cuda_reset(version, capability.0, capability.1, memory)
    prepare()
    try body { try CUDADriver(DynamicLibrary(name: "stub") { stub_cuda_symbol($0) }) }
    #expect(stub_cuda_alive() == 0)
  }

  private var log: [String] {
    String(cString: stub_cuda_log()).split(separator: "\n").map(String.init)
  }

  private let source = CUDASource(
    name: "text", text: "", architecture: .sm90a, entryPoints: ["first", "second"],
    dynamicSharedBytes: 100 << 10, threads: 128)

  @Test func devicesAreListed() throws {
    try withStub { driver in
      let found = try driver()
      #expect(found.version == CUDADriver.Version(13, 0))
      #expect(found.devices.map(\.name) == ["Stub"])
      #expect(found.devices[0].computeCapability == [9, 0])
      #expect(found.devices[0].memory == 1 << 20)
      #expect(found.devices[0].multiprocessors == 5)
    }
  }

  @Test(
    arguments: [
      ((8, 0), CUDAArchitecture.sm80), ((8, 6), .sm86), ((8, 7), .sm86), ((8, 9), .sm89),
      ((9, 0), .sm90a), ((10, 0), .sm100), ((10, 3), .sm100), ((7, 5), nil), ((12, 0), nil),
    ] as [((Int32, Int32), CUDAArchitecture?)])
  func capabilitiesHaveArchitectures(capability: (Int32, Int32), architecture: CUDAArchitecture?)
    throws
  {
    try withStub(capability: capability) { driver in
      let found = try driver()
      #expect(found.devices[0].architecture == architecture)
      if architecture == nil {
        let name = "\(capability.0).\(capability.1)"
        #expect(throws: CUDAFailure.architecture(device: "Stub", capability: name)) {
          try CUDAContext(found)
        }
      } else {
        #expect(try CUDAContext(found).architecture == architecture)
        #expect(throws: CUDAFailure.noDevice(index: 3, count: 1)) {
          try CUDAContext(found, device: 3)
        }
      }
    }
  }

  @Test func absenceIsSaidClearly() throws {
    #expect(throws: CUDAFailure.self) { try CUDADriver(path: "/no/such/libcuda.so") }
    do throws(CUDAFailure) {
      _ = try CUDADriver(path: "/no/such/libcuda.so")
    } catch {
      guard case .noDriver = error else {
        Issue.record("\(error)")
        return
      }
      #expect("\(error)".hasPrefix("no CUDA driver on this machine"))
    }
    withStub(version: 11080) { driver in
      #expect(throws: CUDAFailure.tooOld(driver: "11.8", needed: "12.0")) { try driver() }
    }
    withStub(capability: (0, 0)) { driver in
      #expect(throws: CUDAFailure.noDevice(index: 0, count: 0)) { try driver() }
    }
    withStub(prepare: { stub_cuda_hide("cuGraphLaunch") }) { driver in
      #expect(throws: CUDAFailure.missingFunction("cuGraphLaunch", library: "stub")) {
        try driver()
      }
    }
    withStub(prepare: { stub_cuda_fail("cuInit", 999, 0) }) { driver in
      #expect(throws: CUDAFailure.self) { try driver() }
    }
  }

  @Test func memoryThatIsNotThereIsCounted() throws {
    try withStub(memory: 10_000) { driver in
      let context = try CUDAContext(driver())
      let buffer = try context.allocate(bytes: 6000)
      #expect(throws: CUDAFailure.outOfMemory(bytes: 5000, free: 4000, of: 10_000)) {
        try context.allocate(bytes: 5000)
      }
      stub_cuda_fail("cuMemAllocHost", 2, 0)
      #expect(throws: CUDAFailure.outOfMemory(bytes: 8, free: 4000, of: 10_000)) {
        try context.allocatePinned(bytes: 8)
      }
      withExtendedLifetime(buffer) {}
    }
  }

  @Test func aStreamDoesItsWorkInOrder() throws {
    try withStub { driver in
      let context = try CUDAContext(driver())
      let stream = try CUDAStream(context)
      let (a, b) = (try context.allocate(bytes: 64), try context.allocate(bytes: 64))
      let pinned = try context.allocatePinned(bytes: 64)
      for i in 0..<64 { pinned.bytes[i] = UInt8(i) }
      try stream.copy(UnsafeRawBufferPointer(pinned.bytes), to: a.address)
      try stream.copy(a.address, to: b.address, bytes: 64)
      try stream.fill(b.address.advanced(by: 60), bytes: 4, with: 7)
      try stream.copy(b.address, to: pinned.bytes)
      try stream.synchronize()
      #expect(Array(pinned.bytes) == (0..<60).map { UInt8($0) } + [7, 7, 7, 7])
      #expect(
        log.suffix(5) == [
          "cuMemcpyHtoDAsync 64", "cuMemcpyDtoDAsync 64", "cuMemsetD8Async 4",
          "cuMemcpyDtoHAsync 64", "cuStreamSynchronize",
        ])
      let (start, end) = (
        try CUDAEvent(context, isTimed: true), try CUDAEvent(context, isTimed: true)
      )
      try stream.record(start)
      try stream.record(end)
      try end.synchronize()
      #expect(try end.milliseconds(since: start) > 0)
    }
  }

  @Test func launchesCarryTheirArguments() throws {
    final class Calls {
      var all: [(name: String, blocks: Int32, values: [Float])] = []
    }
    try withStub { driver in
      stub_cuda_declare(0, "second", [4, 8, 8, 4], 4)
      let calls = Calls()
      stub_cuda_on_launch(
        { context, module, name, arguments, blocks, threads, bytes in
          guard let context, let name, let arguments else { return }
          let calls = Unmanaged<Calls>.fromOpaque(context).takeUnretainedValue()
          #expect(module == 0 && threads == 128 && bytes == 100 << 10)
          calls.all.append(
            (
              String(cString: name), blocks,
              [
                arguments[0]?.load(as: Float.self) ?? .nan,
                Float(arguments[1]?.load(as: UInt64.self) ?? 0),
                Float(arguments[2]?.load(as: Int64.self) ?? 0),
                Float(arguments[3]?.load(as: Int32.self) ?? 0),
              ]
            ))
        }, Unmanaged.passUnretained(calls).toOpaque())
      let context = try CUDAContext(driver())
      let stream = try CUDAStream(context)
      let module = try CUDAModule(context, source, code: [1, 2, 3])
      let kernel = try module.kernel("second")
      // More than 48 KiB of shared memory is asked for.
      #expect(log.last == "cuFuncSetAttribute second 8 \(100 << 10)")
      func launch(_ x: Float) -> CUDALaunch {
        CUDALaunch(
          "second", blocks: 5,
          [.float(x), .address(CUDAAddress(bits: 4096)), .long(-7), .int(-3)])
      }
      try stream.launch(kernel, launch(1.5))
      #expect(calls.all.isEmpty)
      try stream.synchronize()
      #expect(calls.all.map(\.values) == [[1.5, 4096, -7, -3]])
      #expect(
        throws: CUDAFailure.arguments(kernel: "second", expected: [4, 8, 8, 4], found: [4, 8])
      ) {
        try stream.launch(kernel, CUDALaunch("second", blocks: 5, [.float(1), .long(2)]))
      }

      // A captured launch runs when its graph does, as often as that.
      let graph = try stream.capture { () throws(CUDAFailure) in
        try stream.launch(kernel, launch(2))
        try stream.launch(kernel, launch(3))
      }
      try stream.synchronize()
      #expect(calls.all.count == 1)
      try stream.launch(graph)
      try stream.launch(graph)
      try stream.synchronize()
      #expect(calls.all.map(\.values[0]) == [1.5, 2, 3, 2, 3])
      #expect(calls.all.allSatisfy { $0.name == "second" && $0.blocks == 5 })
    }
  }

  @Test func failuresNameTheCall() throws {
    try withStub { driver in
      let context = try CUDAContext(driver())
      let stream = try CUDAStream(context)
      let kernel = try CUDAModule(context, source, code: []).kernel()
      stub_cuda_fail("cuLaunchKernel", 700, 0)
      #expect(
        throws: CUDAFailure.failed(
          call: "cuLaunchKernel of first", code: 700, name: "CUDA_ERROR_ILLEGAL_ADDRESS")
      ) { try stream.launch(kernel, CUDALaunch("first", blocks: 1, [])) }
      // A capture that fails leaves the stream usable.
      #expect(throws: CUDAFailure.self) {
        _ = try stream.capture { () throws(CUDAFailure) in
          try stream.launch(kernel, CUDALaunch("first", blocks: 1, []))
        }
      }
      stub_cuda_fail("cuLaunchKernel", 0, 0)
      try stream.launch(kernel, CUDALaunch("first", blocks: 1, []))
      try stream.synchronize()
      stub_cuda_fail("cuStreamSynchronize", 719, 2)
      try stream.synchronize()
      #expect(throws: CUDAFailure.self) { try stream.synchronize() }
    }
  }

  @Test("Without a compiler kernels come from the cache; what it lacks asks for a compiler")
  func aCompilerIsAskedFor() throws {
    try withStub { driver in
      let context = try CUDAContext(driver())
      let path = "/no/such/libnvrtc.so"
      let reason = CUDAFailure.noCompiler(.notFound(tried: [path]))
      let cache = CUDAKernelCache(directory: nil)
      let compiler = CUDACompiler(context, library: path, cache: cache)
      #expect(compiler.unavailable == reason)
      #expect(throws: reason) { try compiler.module(source) }
      cache.keep(
        [1, 2, 3], for: CUDAKernelCache.Key(source, options: NVRTC.options(for: .sm90a)),
        by: "another machine's")
      #expect(try compiler.code(of: source) == [1, 2, 3])
      _ = try compiler.module(source)
      _ = try compiler.module(source)
      #expect(log.filter { $0 == "cuModuleLoadData" }.count == 1)
    }
  }
}
