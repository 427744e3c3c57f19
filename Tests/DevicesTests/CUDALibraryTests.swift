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

  @Test func storedWeightsAreDequantisedBeforeTheProduct() throws {
    try withStub { setting in
      let products = try CUBLASLt(setting.context, library: setting.library)
      let bytes = [UInt8](repeating: 0, count: 34 * 2)
      let linear = try bytes.withUnsafeBytes { bytes in
        try CUDALinear(
          products, .q8_0, bytes: bytes, outputs: 2, inputs: 32,
          kernel: { source throws(CUDAFailure) in
            #expect(source.entryPoints == ["gather"])
            return try CUDAModule(setting.context, source, code: []).kernel()
          }, on: setting.stream)
      }
      let memory = try setting.context.allocate(bytes: 4096)
      try linear.multiply(
        CUDAMatrix(memory.address, rows: 5, columns: 32),
        into: CUDAMatrix(memory.address.advanced(by: 2048), rows: 5, columns: 2),
        on: setting.stream)
      let calls = log.filter { $0.hasPrefix("cuLaunchKernel") || $0.hasPrefix("cublasLtMatmul 5") }
      #expect(calls == ["cuLaunchKernel gather 1 256 8192", "cublasLtMatmul 5 2 32"])
      try setting.stream.synchronize()
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
      let group = try NCCL([setting.context], library: setting.library)
      let values = try send([Float](arrayLiteral: 1, 2, 3), setting)
      try group.addUp([values.address], count: 3, type: .float32, on: [setting.stream])
      #expect(try receive(values, 3, setting) == [1, 2, 3])
      #expect(
        Array(log.suffix(5).prefix(3)) == ["ncclGroupStart", "ncclAllReduce 3 7", "ncclGroupEnd"])
      #expect(throws: CUDAFailure.self) {
        try group.addUp([], count: 3, type: .float32, on: [setting.stream])
      }
      // A group that fails inside is ended.
      stub_cuda_fail("ncclAllReduce", 1, 0)
      #expect(throws: CUDAFailure.self) {
        try group.addUp([values.address], count: 3, type: .float32, on: [setting.stream])
      }
      #expect(log.last == "ncclGroupEnd")
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
