import Attention
import Devices
import LanguageModels
import StubCUDA
import Tensors
import TestModels
import Testing

/// Models on a driver without a GPU that computes nothing but products.
///
/// What is asked of it, what it refuses, and that all is given back; that the numbers are right is what
/// `cuda-check model` sees.
@Suite struct CUDAModelTests {
  /// Runs a body with a device of some memory, and sees that everything has been given back.
  private func withStub(
    memory: Int = 1 << 28, isMember: Bool = false, _ body: (CUDADevice) throws -> Void
  ) throws {
    stub_cuda_begin()
    defer { stub_cuda_end() }
    stub_cuda_reset(13000, 8, 0, memory)
    do {
      let library = DynamicLibrary(name: "stub") { stub_cuda_symbol($0) }
      let context = try CUDAContext(CUDADriver(library))
      let group = isMember ? try NCCL.group([context], library: library) : []
      try body(
        CUDADevice(
          context, products: CUBLASLt(context, library: library), group: group.first
        ) { source throws(CUDAFailure) in try CUDAModule(context, source, code: [0]) })
    }
    #expect(stub_cuda_alive() == 0)
  }

  private func count(_ call: String) -> Int {
    String(cString: stub_cuda_log()).split(separator: "\n").count { $0.hasPrefix(call) }
  }

  private func model(_ gpu: CUDADevice, _ tiny: TinyModel = TinyModel()) throws -> LanguageModel {
    try tiny.withFile {
      try ModelBundle(path: $0, precision: .fast, device: CPUDevice(threads: 1), gpu: gpu).model
    }
  }

  private func runner(
    _ gpu: CUDADevice, pages: Int = 16, _ change: (inout BatchRunner.Options) -> Void = { _ in }
  ) throws -> BatchRunner {
    var options = BatchRunner.Options(pageCount: pages, rows: 16)
    options.context = 64
    change(&options)
    return try BatchRunner(model(gpu), device: CPUDevice(threads: 1), options: options)
  }

  /// A step of sequences of which each has a page, and a token at some place of it.
  private func step(_ sequences: Int, rows: Int = 1) throws -> ModelStep {
    try ModelStep(
      tokens: [Int32](repeating: 65, count: sequences * rows),
      batch: AttentionBatch(
        queries: RaggedIndex(lengths: [Int](repeating: rows, count: sequences)),
        pages: PageTable(
          requests: (0..<sequences).map { (pages: [$0], kvLength: rows) }, pageSize: 16)))
  }

  @Test func stepsOfSingleTokensAreCapturedOnceAndReplayed() throws {
    try withStub { gpu in
      let runner = try runner(gpu)
      let copies = count("cuMemcpyHtoDAsync")
      // Of three and of four sequences the launches are the same.
      for sequences in [3, 4, 3, 4, 4] { try runner.run(step(sequences)) }
      #expect(count("cuStreamBeginCapture") == 1)
      #expect(count("cuGraphLaunch") == 4)
      #expect(count("cuMemcpyHtoDAsync") - copies == 5)
      // Prompts are not captured, whatever their number of rows.
      for _ in 0..<3 { try runner.run(step(2, rows: 2)) }
      #expect(count("cuStreamBeginCapture") == 1)
      // 2 layers: 2 norms, 2 turns, pages, attention and a gate each, and the embedding.
      let launches = count("cuLaunch")
      try runner.run(step(1, rows: 3))
      #expect(count("cuLaunch") - launches == 2 * 7 + 1)
    }
  }

  /// A step of `step(_:rows:)` that draws after some rows.
  private func step(_ sequences: Int, rows: Int = 1, drawing drawn: [Int]) throws -> ModelStep {
    var step = try step(sequences, rows: rows)
    step.draws = drawn.map {
      TokenDraw(
        row: $0, temperature: 1, filter: SamplingFilter(), random: .init(seed: 7, counter: 9))
    }
    return step
  }

  @Test func drawnTokensAreAllThatComesBack() throws {
    try withStub { gpu in
      let runner = try runner(gpu) { $0.draws = 8 }
      #expect(runner.drawsTokens && runner.carriesTokens)
      let copies = count("cuMemcpyHtoDAsync")
      for _ in 0..<3 {
        try runner.run(step(3, drawing: [0, 2]))
        // Nothing is computed on this device: no token is any.
        #expect(try runner.drawnTokens() == [nil, nil])
      }
      #expect(count("cuMemcpyHtoDAsync") - copies == 3)
      #expect(count("cuStreamBeginCapture") == 1 && count("cuGraphLaunch") == 2)
      #expect(count("cuLaunchKernel sample_logits 4 ") == 2)
      #expect(count("cuMemcpyDtoHAsync 12") == 3 && count("cuMemcpyDtoHAsync") == 3)
      // Logits of a row that nobody drew from are there already.
      let products = count("cublasLtMatmul ")
      try runner.logits(of: [1]) { _, block in #expect(block.rows == 1 && block.columns == 260) }
      #expect(count("cublasLtMatmul ") == products)
      #expect(count("cuMemcpyDtoHAsync \(260 * 4)") == 1)
      // A row may be drawn from several times; more than a captured step's rows go a part at a time.
      try runner.run(step(2, rows: 2, drawing: [3, 1, 3]))
      #expect(try runner.drawnTokens().count == 3)
      try runner.logits(of: [0]) { _, block in #expect(block.rows == 1) }
      #expect(count("cublasLtMatmul ") > products + 2 * 7 + 1)
    }
  }

  @Test func aStepIsAskedForBeforeTheLastOnesTokensAreKnown() throws {
    try withStub { gpu in
      let runner = try runner(gpu) { $0.draws = 4 }
      try runner.run(step(2, drawing: [0, 1]))
      _ = try runner.drawnTokens()
      let before = String(cString: stub_cuda_log()).utf8.count
      try runner.run(step(2, drawing: [0, 1]))
      var next = try step(2, drawing: [1])
      next.carried = [CarriedToken(row: 0, draw: 1)]
      try runner.run(next)
      let calls = String(cString: stub_cuda_log()).utf8.dropFirst(before)
      let lines = String(decoding: calls, as: UTF8.self).split(separator: "\n")
        .filter { !$0.hasPrefix("cuLaunch") && !$0.hasPrefix("cublas") }
        .map { $0.split(separator: " ")[0] }
      // What is waited for is the reading of a plan two steps ago.
      let plan: [Substring] = ["cuMemcpyHtoDAsync", "cuEventRecord"]
      let end: [Substring] = ["cuGraphLaunch", "cuMemcpyDtoHAsync", "cuEventRecord"]
      let capture: [Substring] = ["cuStreamBeginCapture", "cuStreamEndCapture"]
      #expect(lines == plan + capture + end + ["cuEventSynchronize"] + plan + end)
      // A third one has no place for its tokens.
      #expect(throws: ModelError.draws("two steps' tokens wait to be asked for")) {
        try runner.run(step(2, drawing: [0]))
      }
      #expect(try runner.drawnTokens().count == 2)
      #expect(try runner.drawnTokens().count == 1)
      #expect(try runner.drawnTokens().isEmpty)
      // A token that the step before has not drawn, and more draws than there is room for.
      next.carried = [CarriedToken(row: 0, draw: 2)]
      #expect(throws: ModelError.self) { try runner.run(next) }
      #expect(throws: ModelError.self) { try runner.run(step(1, drawing: [0, 0, 0, 0, 0])) }
    }
  }

  @Test func onlyADeviceDraws() throws {
    var options = BatchRunner.Options(pageCount: 4, rows: 4)
    options.draws = 4
    let processor = try CPUDevice(threads: 1)
    let runner = try TinyModel().withFile {
      try BatchRunner(
        ModelBundle(path: $0, device: processor).model, device: processor, options: options)
    }
    #expect(!runner.drawsTokens && !runner.carriesTokens)
    #expect(throws: ModelError.self) { try runner.run(step(1, drawing: [0])) }
    try withStub { gpu in
      let runner = try self.runner(gpu)
      #expect(!runner.drawsTokens)
      #expect(throws: ModelError.self) { try runner.run(step(1, drawing: [0])) }
    }
  }

  @Test func aStepThatFailsLeavesTheRunnerUsable() throws {
    try withStub { gpu in
      let runner = try runner(gpu)
      try runner.run(step(2))
      // In the midst of a capture.
      stub_cuda_fail("cuLaunchKernel", 700, 4)
      #expect(throws: CUDAFailure.self) { try runner.run(step(2)) }
      stub_cuda_fail("cuLaunchKernel", 0, 0)
      #expect(count("cuStreamEndCapture") == 1 && count("cuGraphLaunch") == 0)
      try runner.run(step(2))
      #expect(count("cuGraphLaunch") == 1)
      stub_cuda_fail("cuStreamSynchronize", 700, 0)
      #expect(
        throws: CUDAFailure.failed(
          call: "cuStreamSynchronize", code: 700, name: "CUDA_ERROR_ILLEGAL_ADDRESS")
      ) { try runner.logits(of: [0]) { _, _ in } }
      stub_cuda_fail("cuStreamSynchronize", 0, 0)
      // Errors of the step itself are those of the processor's runner.
      #expect(throws: ModelError.rows(tokens: 20, rows: 20, limit: 16)) {
        try runner.run(step(2, rows: 10))
      }
      var wrong = try step(1)
      wrong.tokens = [999]
      #expect(throws: ModelError.token(id: 999, index: 0, vocabularySize: 260)) {
        try runner.run(wrong)
      }
    }
  }

  @Test func memoryThatIsNotThereIsNamed() throws {
    // Weights, then pages, then what a step's results go through.
    try withStub(memory: 34 << 20) { gpu in
      #expect {
        _ = try runner(gpu, pages: 1 << 16)
      } throws: { error in
        guard case .outOfMemory(let bytes, let free, let total)? = error as? CUDAFailure else {
          return false
        }
        // Keys and values of 65,536 pages of 16 tokens, 2 heads of 8 halves: 32 MiB each.
        return bytes == 64 << 20 && free < bytes && total == 34 << 20
      }
    }
    try withStub(memory: (32 << 20) + 5000) { gpu in
      #expect {
        _ = try model(gpu)
      } throws: { error in
        if case .outOfMemory? = error as? CUDAFailure { true } else { false }
      }
    }
  }

  @Test func weightsStayAsTheyAreStoredWhereMemoryIsShort() throws {
    // cuBLASLt takes 32 MiB; of the rest more than a quarter would have to go.
    try withStub(memory: 42 << 20) { gpu in
      let runner = try runner(gpu)
      let launches = count("cuLaunchKernel gather")
      #expect(launches == 0)
      try runner.run(step(1, rows: 2))
      // The embedding, and before every product its weights.
      #expect(count("cuLaunchKernel gather") == 1 + 2 * 7)
    }
  }

  @Test func branchesAreSummedOverTheGroup() throws {
    try withStub(isMember: true) { gpu in
      let runner = try runner(gpu)
      try runner.run(step(3))
      // Two for each layer, over the rows that the layers compute. 9 is NCCL's number of bfloat16.
      #expect(count("ncclAllReduce \(4 * 32) 9") == 4)
      try runner.run(step(3))
      #expect(count("ncclAllReduce") == 8 && count("cuGraphLaunch") == 1)
    }
  }

  @Test func aPoolTakesWhatIsFree() throws {
    try withStub { gpu in
      let model = try model(gpu)
      let free = try gpu.context.memory().free
      #expect(try BatchRunner.poolByteCount(model) == free - (1 << 28) / 10)
      #expect(
        try BatchRunner.pageByteCount(model, kvType: .bfloat16, pageSize: 16)
          == 2 * 2 * 2 * 16 * 8 * 2)
    }
    try TinyModel().withFile { path in
      let model = try ModelBundle(path: path, device: CPUDevice(threads: 1)).model
      #expect(try BatchRunner.poolByteCount(model) == nil)
    }
  }
}
