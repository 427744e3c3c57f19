import Devices
import StubCUDA
import Tensors
import Testing

/// cuBLASLt and NCCL without a GPU: the stub multiplies as the real library is told to.
@Suite struct CUDALibraryTests {
  private struct Setting {
    let context: CUDAContext
    let stream: CUDAStream
    let library: DynamicLibrary
  }

  private func withStub(_ body: (Setting) throws -> Void) throws {
    stub_cuda_begin()
    defer { stub_cuda_end() }
    stub_cuda_reset(13000, 9, 0, 1 << 28)
    do {
      let library = DynamicLibrary(name: "stub") { stub_cuda_symbol($0) }
      let context = try CUDAContext(CUDADriver(library))
      try body(Setting(context: context, stream: CUDAStream(context), library: library))
    }
    #expect(stub_cuda_alive() == 0)
  }

  private var log: [String] {
    String(cString: stub_cuda_log()).split(separator: "\n").map(String.init)
  }

  private func send<T>(_ values: [T], _ setting: Setting) throws -> CUDABuffer {
    let buffer = try setting.context.allocate(bytes: values.count * MemoryLayout<T>.stride)
    try values.withUnsafeBytes { try setting.stream.copy($0, to: buffer.address) }
    try setting.stream.synchronize()
    return buffer
  }

  private func receive(_ buffer: CUDABuffer, _ count: Int, _ setting: Setting) throws -> [Float] {
    var values = [Float](repeating: .nan, count: count)
    try values.withUnsafeMutableBytes { bytes in
      try setting.stream.copy(buffer.address, to: bytes)
      try setting.stream.synchronize()
    }
    return values
  }

  @Test func productsAreRowMajorTimesTransposed() throws {
    try withStub { setting in
      let products = try CUBLASLt(setting.context, library: setting.library)
      // 3 × 4 with rows of 5, 2 × 4, and 3 × 2 with rows of 3.
      let x = (0..<15).map { Float($0) }
      let w = (0..<8).map { Float($0 * $0 % 7) - 2 }
      let (xs, ws) = (try send(x, setting), try send(w, setting))
      let ys = try send([Float](repeating: 100, count: 9), setting)
      func run(accumulate: Bool) throws {
        try products.multiply(
          CUDAMatrix(xs.address, rows: 3, columns: 4, stride: 5),
          CUDAMatrix(ws.address, rows: 2, columns: 4), type: .float32,
          into: CUDAMatrix(ys.address, rows: 3, columns: 2, stride: 3), accumulate: accumulate,
          on: setting.stream)
      }
      try run(accumulate: false)
      var expected = [Float](repeating: 100, count: 9)
      for row in 0..<3 {
        for output in 0..<2 {
          expected[row * 3 + output] = (0..<4).reduce(0) {
            $0 + x[row * 5 + $1] * w[output * 4 + $1]
          }
        }
      }
      #expect(try receive(ys, 9, setting) == expected)
      try run(accumulate: true)
      for row in 0..<3 { for output in 0..<2 { expected[row * 3 + output] *= 2 } }
      #expect(try receive(ys, 9, setting) == expected)
      // The heuristics are asked once for the same sizes.
      #expect(log.filter { $0.hasPrefix("cublasLtMatmulAlgoGetHeuristic") }.count == 1)
      #expect(log.filter { $0 == "cublasLtMatmul 3 2 4" }.count == 2)
    }
  }

  /// Launches and products since the log began, but for what is made of the sizes.
  private var work: [String] {
    log.filter { $0.hasPrefix("cuLaunchKernel") || $0.hasPrefix("cublasLtMatmul 5") }
  }

  @Test func storedWeightsAreDequantisedOnceOrBeforeEachProduct() throws {
    try withStub { setting in
      let device = try CUDADevice(
        setting.context, products: CUBLASLt(setting.context, library: setting.library)
      ) { source throws(CUDAFailure) in
        #expect(source.entryPoints == ["gather"])
        return try CUDAModule(setting.context, source, code: [])
      }
      let bytes = [UInt8](repeating: 0, count: 34 * 2)
      let memory = try setting.context.allocate(bytes: 4096)
      let shared = try setting.context.allocate(bytes: 2 * 32 * 2)
      func multiply(shared: CUDABuffer?) throws {
        let linear = try bytes.withUnsafeBytes {
          try CUDALinear(device, .q8_0, bytes: $0, outputs: 2, inputs: 32, shared: shared)
        }
        for _ in 0..<2 {
          try linear.multiply(
            CUDAMatrix(memory.address, rows: 5, columns: 32),
            into: CUDAMatrix(memory.address.advanced(by: 2048), rows: 5, columns: 2))
        }
        try device.stream.synchronize()
      }
      let (decode, product) = ("cuLaunchKernel gather 1 256 8192", "cublasLtMatmul 5 2 32")
      try multiply(shared: nil)
      #expect(work == [decode, product, product])
      try multiply(shared: shared)
      #expect(work == [decode, product, product, decode, product, decode, product])
      let small = try setting.context.allocate(bytes: 100)
      #expect(throws: CUDAFailure.unsupported("100 bytes for dequantised weights; expected 128")) {
        try multiply(shared: small)
      }
    }
  }

  @Test func aProductOfHalvesMayBeAddedToFloats() throws {
    try withStub { setting in
      let products = try CUBLASLt(setting.context, library: setting.library)
      let x = try send([BFloat16(1.5), BFloat16(-2)], setting)
      let w = try send([BFloat16(3), BFloat16(0.25), BFloat16(1), BFloat16(2)], setting)
      let y = try send([Float(0x1p-20), 100], setting)
      try products.multiply(
        CUDAMatrix(x.address, rows: 1, columns: 2), CUDAMatrix(w.address, rows: 2, columns: 2),
        type: .bfloat16, into: CUDAMatrix(y.address, rows: 1, columns: 2), outputType: .float32,
        accumulate: true, on: setting.stream)
      #expect(try receive(y, 2, setting) == [4 + 0x1p-20, 97.5])
    }
  }

  @Test func failuresNameTheLibrary() throws {
    try withStub { setting in
      let context = setting.context
      #expect(throws: CUDAFailure.missingFunction("cublasLtCreate", library: "none")) {
        try CUBLASLt(context, library: DynamicLibrary(name: "none") { _ in nil })
      }
      let products = try CUBLASLt(context, library: setting.library)
      stub_cuda_fail("no algorithm", 1, 0)
      let matrix = CUDAMatrix(.none, rows: 2, columns: 2)
      #expect(throws: CUDAFailure.self) {
        try products.multiply(matrix, matrix, type: .float32, into: matrix, on: setting.stream)
      }
      stub_cuda_fail("cublasLtMatrixLayoutCreate", 3, 2)
      #expect(
        throws: CUDAFailure.failed(
          call: "cublasLtMatrixLayoutCreate", code: 3, name: "an error of cuBLAS")
      ) {
        try products.multiply(matrix, matrix, type: .bfloat16, into: matrix, on: setting.stream)
      }
    }
  }

  @Test func aGroupOfOneAddsUp() throws {
    try withStub { setting in
      let group = try NCCL.group([setting.context], library: setting.library)
      #expect(group.map(\.rank) == [0] && group.map(\.count) == [1])
      let values = try send([Float](arrayLiteral: 1, 2, 3), setting)
      try group[0].addUp(values.address, count: 3, type: .float32, on: setting.stream)
      #expect(log.last == "ncclAllReduce 3 7")
      #expect(try receive(values, 3, setting) == [1, 2, 3])
      stub_cuda_fail("ncclAllReduce", 1, 0)
      #expect(
        throws: CUDAFailure.failed(call: "ncclAllReduce", code: 1, name: "an error of NCCL")
      ) {
        try group[0].addUp(values.address, count: 3, type: .float32, on: setting.stream)
      }
      #expect(throws: CUDAFailure.missingFunction("ncclCommInitAll", library: "none")) {
        try NCCL.group([setting.context], library: DynamicLibrary(name: "none") { _ in nil })
      }
    }
  }

  @Test func aMemberJoinsByTheGroupsName() throws {
    try withStub { setting in
      let id = try NCCL.newID(library: setting.library)
      #expect(id.count == NCCL.idBytes)
      let member = try NCCL(setting.context, rank: 0, of: 1, id: id, library: setting.library)
      let values = try send([Float](arrayLiteral: 1, 2), setting)
      try member.addUp(values.address, count: 2, type: .float32, on: setting.stream)
      #expect(try receive(values, 2, setting) == [1, 2])
      let failure = CUDAFailure.failed(
        call: "ncclCommInitRank", code: 4, name: "an error of NCCL")
      // A group of another name, and one that the stub does not play.
      #expect(throws: failure) {
        try NCCL(
          setting.context, rank: 0, of: 1, id: id.reversed(), library: setting.library)
      }
      #expect(throws: failure) {
        try NCCL(setting.context, rank: 1, of: 2, id: id, library: setting.library)
      }
      #expect(throws: CUDAFailure.self) {
        try NCCL(setting.context, rank: 0, of: 1, id: [], library: setting.library)
      }
    }
  }

  @Test func aCompilersErrorShowsTheExpression() {
    let text = """
      float logits(float s) {
        \(CUDASource.origin("soft cap, logits: 30 * tanh(s / 30)"))
        return tanhh(s);
      }
      """
    let log = "k.cu(3): error: identifier \"tanhh\" is undefined\nk.cu(1): note"
    #expect(
      CUDASource.explained(log, of: text) == """
        k.cu(3): error: identifier "tanhh" is undefined
          3:   return tanhh(s);
          from the variant soft cap, logits: 30 * tanh(s / 30)
        k.cu(1): note
          1: float logits(float s) {
        """)
    #expect(CUDASource.origin("a\\\nb") == "// of ab")
  }
}
