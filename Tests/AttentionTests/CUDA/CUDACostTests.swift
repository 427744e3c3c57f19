import Attention
import Devices
import StubCUDA
import Tensors
import Testing

/// What a GPU's facts make of the costs of work, and of what is read together.
@Suite struct CUDACostTests {
  private let shape = AttentionShape(queryHeads: 32, kvHeads: 8, headDimension: 128)

  /// A device of a generation, as the stub driver describes its five multiprocessors.
  private func withDevice(
    _ capability: (Int32, Int32) = (9, 0), _ body: (CUDAContext, CUDADriver.Device) throws -> Void
  ) throws {
    stub_cuda_begin()
    defer { stub_cuda_end() }
    stub_cuda_reset(13000, capability.0, capability.1, 1 << 28)
    let context = try CUDAContext(
      CUDADriver(DynamicLibrary(name: "stub") { stub_cuda_symbol($0) }))
    try body(context, context.device)
  }

  private func cost(
    _ device: CUDADriver.Device, _ tile: CUDAAttentionKernel.Tile,
    _ architecture: CUDAArchitecture = .sm90a
  ) throws -> CostModel {
    try CostModel(
      device,
      CUDAAttentionKernel(shape: shape, variant: .causal, tile: tile, architecture: architecture))
  }

  @Test("A driver's clocks and bus make the bandwidth")
  func bandwidth() throws {
    try withDevice { _, device in
      // Both edges of 2,619 MHz on 192 bits.
      let bandwidth: Double = 2_619e6 * 2 * 24
      #expect(device.memoryBandwidth == bandwidth)
      #expect(device.clockRate == 1_755e6)
    }
  }

  @Test("A few rows cost what their keys' bytes cost, many what their products cost")
  func memoryAndProducts() throws {
    try withDevice { _, device in
      var device = device
      (device.multiprocessors, device.memoryBandwidth) = (132, 3.35e12)
      // 512 bytes of a key and a value at a 132nd of 3.35 TB/s are 20.2 ns.
      let decode = try cost(device, .tensor(rows: 16))
      let nanoseconds: Double = 512 / (3.35e12 / 132) * 1e9
      let found = Double(decode.perKey(rows: 4)) / 16
      #expect(abs(found - nanoseconds) < 0.1)
      #expect(decode.perKey(rows: 1) == decode.perKey(rows: 16))
      device.memoryBandwidth *= 2
      let faster = try cost(device, .tensor(rows: 16))
      #expect(faster.perKV < decode.perKV)
      #expect(faster.perProduct == decode.perProduct)
      // 2 · 256 · 128 operations of a key: more than the bytes where tensor cores are slow.
      (device.multiprocessors, device.memoryBandwidth, device.clockRate) = (84, 7e11, 1.7e9)
      let prefill = try cost(device, .tensor(rows: 128), .sm86)
      #expect(prefill.perKey(rows: 128) == prefill.perProduct)
      #expect(prefill.perProduct > prefill.perKV)
    }
  }

  @Test("Rows beyond a pass read their keys again")
  func passes() throws {
    try withDevice { _, device in
      for (tile, rows) in [(CUDAAttentionKernel.Tile.cores, 4), (.tensor(rows: 32), 32)] {
        let cost = try cost(device, tile)
        let pass = max(cost.perCachedKV, cost.perProduct)
        #expect(cost.perKey(rows: rows) == max(cost.perKV, cost.perProduct))
        #expect(cost.perKey(rows: rows + 1) - cost.perKey(rows: rows) == pass)
        let further = (128 / rows - 1) * pass
        #expect(cost.perKey(rows: 128) - cost.perKey(rows: rows) == further)
      }
    }
  }

  @Test("A driver that says nothing of clocks stands for its generation")
  func silence() throws {
    for (capability, architecture) in [
      ((8, 0), CUDAArchitecture.sm80), ((8, 6), .sm86), ((8, 9), .sm89), ((9, 0), .sm90a),
      ((10, 0), .sm100),
    ] as [((Int32, Int32), CUDAArchitecture)] {
      try withDevice(capability) { _, device in
        var device = device
        (device.clockRate, device.memoryBandwidth) = (0, 0)
        let cost = try cost(device, .tensor(rows: 16), architecture)
        // A key of 512 bytes takes a multiprocessor of any of them 5 to 100 ns.
        #expect((5 * 16...100 * 16).contains(cost.perKV))
        #expect(cost.perCachedKV <= cost.perKV && cost.perProduct >= 1)
      }
    }
  }

  @Test("Long prefixes of many requests are read together, short ones of few are not")
  func composition() throws {
    try withDevice { context, _ in
      let host = try CPUDevice(threads: 1)
      func isComposed(requests: Int, shared: Int) throws -> Bool {
        let attention = try CUDAAttention(
          context, host: host, shape: shape,
          bounds: AttentionBounds(
            requests: requests, queryRows: requests, pages: requests * (shared / 16 + 1))
        ) { source throws(CUDAFailure) in try CUDAModule(context, source, code: []) }
        let prefix = Array(0..<shared / 16)
        let stream = try CUDAStream(context)
        try attention.update(
          AttentionBatch(
            queries: RaggedIndex(lengths: [Int](repeating: 1, count: requests)),
            pages: PageTable(
              requests: (0..<requests).map {
                (pages: prefix + [prefix.count + $0], kvLength: shared + 5)
              }, pageSize: 16)), on: stream)
        try stream.synchronize()
        return attention.plan.schedule.allTiles.contains {
          $0.rowCount == requests * shape.groupSize
        }
      }
      #expect(try isComposed(requests: 32, shared: 8192))
      #expect(try !isComposed(requests: 2, shared: 16))
    }
  }
}
