import Attention
import Devices
import StubCUDA
import Tensors
import Testing

/// What attention asks of a driver, in which order; `cuda-check` sees that the numbers are right.
@Suite struct CUDAAttentionTests {
  private let shape = AttentionShape(queryHeads: 8, kvHeads: 2, headDimension: 64)

  private struct Setting {
    let host: CPUDevice
    let context: CUDAContext
    let stream: CUDAStream
    let memory: CUDABuffer
  }

  /// Runs a body with a driver without a GPU, and sees that everything has been given back.
  private func withStub(memory: Int = 1 << 28, _ body: (Setting) throws -> Void) throws {
    stub_cuda_begin()
    defer { stub_cuda_end() }
    stub_cuda_reset(13000, 9, 0, memory)
    do {
      let context = try CUDAContext(
        CUDADriver(DynamicLibrary(name: "stub") { stub_cuda_symbol($0) }))
      try body(
        Setting(
          host: CPUDevice(threads: 1), context: context, stream: CUDAStream(context),
          memory: context.allocate(bytes: 1 << 16)))
    }
    #expect(stub_cuda_alive() == 0)
  }

  /// The calls since the last time, but for those that give back.
  private func calls(since count: inout Int) -> [String] {
    let all = String(cString: stub_cuda_log()).split(separator: "\n").map(String.init)
    defer { count = all.count }
    return Array(all[count...])
  }

  private func attention(
    _ setting: Setting, _ variant: AttentionVariant = .causal,
    tile: CUDAAttentionKernel.Tile? = nil, requests: Int = 4, rows: Int = 4, pageSize: Int = 16,
    dataBytes: Int = 0
  ) throws -> CUDAAttention {
    try CUDAAttention(
      setting.context, host: setting.host, shape: shape, variant: variant, tile: tile,
      bounds: AttentionBounds(
        requests: requests, queryRows: rows, pages: 64, pageSize: pageSize), dataBytes: dataBytes
    ) { source throws(CUDAFailure) in try CUDAModule(setting.context, source, code: []) }
  }

  private func batch(_ lengths: [(query: Int, kv: Int)], pageSize: Int = 16) throws
    -> AttentionBatch
  {
    var next = 0
    let pages = lengths.map { length in
      let count = (length.kv + pageSize - 1) / pageSize
      defer { next += count }
      return (pages: Array(next..<next + count), kvLength: length.kv)
    }
    return try AttentionBatch(
      queries: RaggedIndex(lengths: lengths.map(\.query)),
      pages: PageTable(requests: pages, pageSize: pageSize))
  }

  private func run(_ attention: CUDAAttention, _ setting: Setting, columns: Int? = nil) throws {
    let address = setting.memory.address
    let matrix = CUDAMatrix(address, rows: 4, columns: columns ?? 8 * 64)
    let pages = CUDAOperators.Pages(
      address, page: 16 * 128, head: 64, token: 128, scales: address)
    try attention.run(
      queries: matrix, cache: CUDAPagedKV(keys: pages, values: pages, pageCount: 64),
      output: CUDAMatrix(address, rows: 4, columns: 8 * 64), on: setting.stream)
  }

  @Test("A step is one copy; a layer is one launch; a replay is one call")
  func callsOfAStep() throws {
    try withStub { setting in
      var count = 0
      let attention = try attention(setting)
      _ = calls(since: &count)
      var sizes: Set<String> = []
      var graph: CUDAGraph?
      for step in 0..<6 {
        let lengths = (0..<1 + step % 4).map { (query: 1, kv: 17 + 31 * $0 + step) }
        try attention.update(batch(lengths), on: setting.stream)
        // The first batch loads the kernel; from the third on a copy's memory is used again.
        let sent = calls(since: &count).filter {
          !$0.hasPrefix("cuModule") && !$0.hasPrefix("cuFunc") && $0 != "cuEventSynchronize"
        }
        #expect(sent.count == 2 && sent[0].hasPrefix("cuMemcpyHtoDAsync"))
        #expect(sent[1] == "cuEventRecord")
        sizes.insert(sent[0])
        guard let made = graph else {
          graph = try setting.stream.capture { () throws(CUDAFailure) in
            for _ in 0..<3 {
              do { try run(attention, setting) } catch { Issue.record(error) }
            }
          }
          let captured = calls(since: &count)
          #expect(captured.first == "cuStreamBeginCapture")
          // Rows of a group on tensor cores: a block for each of the device's five processors.
          #expect(
            captured.filter { $0.hasPrefix("cuLaunchCooperativeKernel attention 5 ") }.count == 3)
          #expect(captured.count == 5)
          continue
        }
        try setting.stream.launch(made)
        #expect(calls(since: &count) == ["cuGraphLaunch 3"])
      }
      // No batch sends more than the lists' room.
      #expect(sizes.count > 1)
      try setting.stream.synchronize()
    }
  }

  @Test("The memory of a copy waits for the copy before the last")
  func stagingWaits() throws {
    try withStub { setting in
      var count = 0
      let attention = try attention(setting)
      var waits: [Int] = []
      for step in 0..<5 {
        _ = calls(since: &count)
        try attention.update(batch([(1, 40 + step)]), on: setting.stream)
        waits.append(calls(since: &count).filter { $0 == "cuEventSynchronize" }.count)
      }
      #expect(waits == [0, 0, 1, 1, 1])
      try setting.stream.synchronize()
    }
  }

  @Test("What a device cannot run is refused by name")
  func refusals() throws {
    try withStub { setting in
      let attention = try attention(setting)
      #expect(throws: CUDAAttention.Failure.noBatch) { try run(attention, setting) }
      #expect(throws: CUDAAttention.Failure.self) {
        try attention.update(
          batch([(1, 1), (1, 1), (1, 1), (1, 1), (1, 1)]), on: setting.stream)
      }
      #expect(throws: CUDAAttention.Failure.workers(6, most: 5)) {
        try CUDAAttention(
          setting.context, host: setting.host, shape: shape, workers: 6,
          bounds: AttentionBounds(requests: 1, queryRows: 1, pages: 1)
        ) { source throws(CUDAFailure) in try CUDAModule(setting.context, source, code: []) }
      }
      // A batch that was refused leaves none.
      #expect(throws: CUDAAttention.Failure.noBatch) { try run(attention, setting) }
      try attention.update(batch([(1, 5)]), on: setting.stream)
      #expect(throws: CUDAAttention.Failure.columns("queries", expected: 512, found: 3)) {
        try run(attention, setting, columns: 3)
      }
      let boxes = try self.attention(
        setting, tile: .warpGroups(rows: 64, usesTMA: true), rows: 200, pageSize: 16)
      #expect(throws: CUDAAttention.Failure.pageSize(8)) {
        try boxes.update(batch([(1, 9)], pageSize: 8), on: setting.stream)
      }
      #expect(throws: CUDAAttention.Failure.kernel(.boxes)) {
        try self.attention(
          setting, .causal.combined(with: .rope()),
          tile: .warpGroups(rows: 64, usesTMA: true)
        ).update(batch([(1, 9)]), on: setting.stream)
      }
      try setting.stream.synchronize()
    }
    try withStub(memory: 1 << 17) { setting in
      #expect(throws: CUDAAttention.Failure.self) { try self.attention(setting, rows: 4000) }
    }
  }

  @Test("Data of tensors has the room that was said, and the kernel stays that of the first batch")
  func dataOfTensors() throws {
    try withStub { setting in
      let variant = AttentionVariant.causal.combined(with: .documentMask)
      func tensors(_ count: Int) -> VariantTensors {
        var tensors = VariantTensors()
        tensors["document"] = [Float](repeating: 1, count: count)
        return tensors
      }
      let small = try attention(setting, variant, dataBytes: 0)
      #expect(throws: CUDAAttention.Failure.self) {
        try small.update(batch([(1, 40)]), tensors: tensors(40), on: setting.stream)
      }
      let enough = try attention(setting, variant, dataBytes: 4096)
      try enough.update(batch([(1, 40)]), tensors: tensors(40), on: setting.stream)
      try enough.update(batch([(1, 41)]), tensors: tensors(41), on: setting.stream)
      try run(enough, setting)
      try setting.stream.synchronize()
    }
  }

  @Test("The tile follows from a request's rows and the architecture")
  func tilesSuit() throws {
    try withStub { setting in
      let decode = try attention(setting, requests: 4, rows: 4)
      #expect(decode.tile == .tensor(rows: 16))
      let boxes = try attention(setting, requests: 1, rows: 400)
      #expect(boxes.tile == .warpGroups(rows: 128, usesTMA: true))
      let rows = try attention(setting, requests: 1, rows: 400, pageSize: 3)
      #expect(rows.tile == .warpGroups(rows: 128, usesTMA: false))
    }
  }
}
