import Attention
import Devices
import Tensors
import Testing

/// Pools that someone else lays out, and the latent cache whose rows are keys and values at once.
@Suite struct CacheMemoryTests {
  static let elementTypes = RandomCase.elementTypes

  private func batch(_ lengths: [(query: Int, kv: Int)], pageSize: Int, _ random: inout Random)
    throws -> (batch: AttentionBatch, pages: BlockRowTests.Pages)
  {
    let pages = try BlockRowTests.Pages(lengths.map(\.kv), pageSize, &random)
    let batch = try AttentionBatch(
      queries: RaggedIndex(lengths: lengths.map(\.query)), pages: pages.table)
    return (batch, pages)
  }

  /// Decode, prefill and mixed batches over borrowed pools, written by append, at odd sizes.
  @Test(arguments: KVLayout.allCases, elementTypes)
  func borrowedPools(layout: KVLayout, type: ElementType) throws {
    var random = Random(81)
    for level in InstructionSet.available {
      let device = try CPUDevice(threads: 2, instructionSet: level)
      for (number, pageSize) in [1, 3, 16, 32].enumerated() {
        let lengths = [
          [(1, 70), (1, 1), (1, 333)], [(7, 7), (33, 60)], [(1, 90), (0, 5), (20, 41), (2, 0)],
        ][number % 3].map { (query: $0.0, kv: $0.1) }
        let (batch, pages) = try batch(lengths, pageSize: pageSize, &random)
        var test = PoolCase(pageCount: pages.count, batch: batch, slot: pages.slot)
        test.shape = AttentionShape(
          queryHeads: 6, kvHeads: 2, headDimension: [24, 7, 64, 33][number],
          valueDimension: [24, 5, 40, 64][number])
        test.memory = layout == .nhd ? .nhd : .hnd
        test.elementType = type
        test.variant = number % 2 == 0 ? .causal : .causal.combined(with: .rope())
        test.scales = type.blockBytes == 1 ? ([0.008, 0.01], [0.01, 0.009]) : nil
        test.smallestOutput = 0.1
        try test.check(device, "\(layout) of \(type), pages of \(pageSize), \(level)", tolerance: 2)
      }
    }
  }

  /// Appended rows lie where the layout's definition says, as the type's own conversion makes them.
  @Test(arguments: KVLayout.allCases, [ElementType.float32, .float16, .bfloat16])
  func appendWritesWhereTheLayoutSays(layout: KVLayout, type: ElementType) throws {
    let device = try CPUDevice(threads: 2)
    let (pageCount, pageSize, heads, d, dv) = (3, 5, 2, 7, 3)
    let slots = pageCount * pageSize
    let bytes = type.blockBytes
    let memory = AlignedBuffer(byteCount: slots * heads * (d + dv) * bytes)
    let base = try #require(memory.bytes.baseAddress)
    let values = base + slots * heads * d * bytes
    let cache = try PagedKVCache(
      borrowingKeys: base, values: values, layout: layout, pageCount: pageCount,
      pageSize: pageSize, kvHeads: heads, headDimension: d, valueDimension: dv, elementType: type,
      owner: memory)
    #expect(cache.byteCount == 0)
    for byte in memory.bytes.indices { memory.bytes[byte] = 0xAA }
    var random = Random(5)
    let written = [3, 14, 0, -1, 9]
    let keys = AlignedBuffer(byteCount: written.count * heads * d * 4)
    let rows = AlignedBuffer(byteCount: written.count * heads * dv * 4)
    for buffer in [keys, rows] {
      for i in buffer.elements(Float.self).indices {
        buffer.elements(Float.self)[i] = random.float() * 3
      }
    }
    try cache.append(
      keys: MatrixView(
        try #require(keys.elements(Float.self).baseAddress), rows: written.count,
        columns: heads * d),
      values: MatrixView(
        try #require(rows.elements(Float.self).baseAddress), rows: written.count,
        columns: heads * dv), slots: written, on: device)
    func bits(_ x: Float) -> [UInt8] {
      switch type {
      case .float16: withUnsafeBytes(of: Float16(x).bitPattern) { Array($0) }
      case .bfloat16: withUnsafeBytes(of: BFloat16(x).bitPattern) { Array($0) }
      default: withUnsafeBytes(of: x.bitPattern) { Array($0) }
      }
    }
    var expected = [UInt8](repeating: 0xAA, count: memory.bytes.count)
    for (row, slot) in written.enumerated() where slot >= 0 {
      let (page, token) = (slot / pageSize, slot % pageSize)
      for head in 0..<heads {
        let place =
          layout == .nhd
          ? (page * pageSize + token) * heads + head : (page * heads + head) * pageSize + token
        for (start, size, source) in [(0, d, keys), (slots * heads * d, dv, rows)] {
          for i in 0..<size {
            let x = source.elements(Float.self)[(row * heads + head) * size + i]
            let first = (start + place * size + i) * bytes
            expected.replaceSubrange(first..<first + bytes, with: bits(x))
          }
        }
      }
    }
    #expect(Array(memory.bytes) == expected)
  }

  /// Multi-head latent attention, absorbed: keys of latent + rope elements, values their beginning.
  @Test(arguments: elementTypes)
  func latentCaches(type: ElementType) throws {
    var random = Random(82)
    for level in InstructionSet.available {
      let device = try CPUDevice(threads: 2, instructionSet: level)
      for (number, (latent, rope)) in [(40, 8), (7, 3), (512, 64), (33, 0)].enumerated() {
        for pageSize in [1, 5, 16] {
          let lengths = [
            [(1, 70), (1, 333), (1, 0)], [(9, 9), (17, 40)], [(1, 77), (12, 31)],
          ][(number + pageSize) % 3].map { (query: $0.0, kv: $0.1) }
          let (batch, pages) = try batch(lengths, pageSize: pageSize, &random)
          var test = PoolCase(pageCount: pages.count, batch: batch, slot: pages.slot)
          test.shape = AttentionShape(
            queryHeads: [16, 3, 4, 1][number], kvHeads: 1, headDimension: latent + rope,
            valueDimension: latent)
          test.memory = .latent
          test.elementType = type
          test.variant = .latent(headDimension: 128, rope: rope)
          test.sample = latent > 100 ? 7 : 1
          test.smallestOutput = 0.1
          try test.check(
            device, "\(latent) + \(rope) of \(type), pages of \(pageSize), \(level)", tolerance: 2)
        }
      }
    }
  }

  @Test func pagesDoNotShareAllSetsOfTheFirstCache() throws {
    for (pageSize, heads, dimension, expected) in [
      (16, 8, 128, 65_536 + 64), (1, 8, 128, 4_096 + 64), (16, 2, 16, 2_048), (3, 5, 40, 2_400),
    ] {
      let bytes = try PagedKVCache.pageByteCount(
        pageSize: pageSize, kvHeads: heads, headDimension: dimension, elementType: .bfloat16)
      #expect(bytes == expected)
    }
  }

  @Test func latentRowsAreStoredOnce() throws {
    let device = try CPUDevice(threads: 1)
    let cache = try PagedKVCache(
      latentPages: 2, pageSize: 4, latentDimension: 5, ropeDimension: 3, elementType: .float32)
    #expect(cache.byteCount == 2 * 4 * 8 * 4)
    var row = (0..<8).map { Float($0) }
    try row.withUnsafeMutableBufferPointer { row in
      let view = MatrixView(try #require(row.baseAddress), rows: 1, columns: 8)
      try cache.append(keys: view, values: nil, slots: [6], on: device)
      #expect(throws: PagedKVCache.Failure.values(sharesValues: true)) {
        try cache.append(keys: view, values: view, slots: [6], on: device)
      }
      let own = try PagedKVCache(pageCount: 1, pageSize: 8, kvHeads: 1, headDimension: 8)
      #expect(throws: PagedKVCache.Failure.values(sharesValues: false)) {
        try own.append(keys: view, values: nil, slots: [6], on: device)
      }
    }
    let stored = try cache.row(slot: 6, head: 0, on: device)
    #expect(stored.key == [0, 1, 2, 3, 4, 5, 6, 7] && stored.value == [0, 1, 2, 3, 4])
    for dimension in [0, -1, 1 << 25] {
      #expect(throws: PagedKVCache.Failure.self) {
        try PagedKVCache(latentPages: 2, pageSize: 4, latentDimension: dimension)
      }
    }
  }
}

/// What is no number in a key reaches the rows that attend to it, and no other.
@Suite struct ContainmentTests {
  private func scenario(
    _ variant: AttentionVariant, _ pageSize: Int, _ type: ElementType,
    _ lengths: [(query: Int, kv: Int)]
  ) -> Scenario {
    var scenario = Scenario()
    scenario.shape = AttentionShape(queryHeads: 6, kvHeads: 2, headDimension: 24)
    scenario.variant = variant
    scenario.pageSize = pageSize
    scenario.elementType = type
    scenario.lengths = lengths
    return scenario
  }

  /// Stores a position of request 0 again, with one element of head 1's key or value replaced.
  private func mark(
    _ material: Scenario.Material, position: Int, key newKey: Float? = nil,
    value newValue: Float? = nil, _ device: CPUDevice
  ) throws {
    let slot = try #require(material.batch.pages.slot(of: position, in: 0))
    var key = Array(material.keys[0][position * 48..<(position + 1) * 48])
    var value = Array(material.values[0][position * 48..<(position + 1) * 48])
    if let newKey { key[24 + 5] = newKey }
    if let newValue { value[24 + 5] = newValue }
    try key.withUnsafeMutableBufferPointer { key in
      try value.withUnsafeMutableBufferPointer { value in
        try material.cache.append(
          keys: MatrixView(try #require(key.baseAddress), rows: 1, columns: 48),
          values: MatrixView(try #require(value.baseAddress), rows: 1, columns: 48),
          slots: [slot], on: device)
      }
    }
  }

  @Test(arguments: InstructionSet.available, [ElementType.float32, .float16, .bfloat16])
  func noNumberInAKeyStaysWithItsRows(level: InstructionSet, type: ElementType) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    for pageSize in [1, 3, 16] {
      for variant in [
        AttentionVariant.causal, .causal.combined(with: .slidingWindow(left: 9)),
        .causal.combined(with: .softCap(3)), .causal.combined(with: .rope()),
      ] {
        let scenario = scenario(variant, pageSize, type, [(40, 40), (1, 50), (12, 300)])
        let material = try Scenario.Material(scenario, device)
        let clean = try scenario.run(material, workers: 3)
        // Position 17 of request 0, head 1.
        try mark(material, position: 17, key: .nan, device)
        let dirty = try scenario.run(material, workers: 3)
        let window = variant.name.contains("window") ? 9 : 1_000
        for row in 0..<material.batch.queries.total * 6 {
          let (token, head) = (row / 6, row % 6)
          let sees = token < 40 && token >= 17 && token - 17 <= window && head >= 3
          let (a, b) = (
            clean.output[row * 24..<row * 24 + 24], dirty.output[row * 24..<row * 24 + 24]
          )
          if sees {
            #expect(dirty.lse[row].isNaN && b.allSatisfy(\.isNaN), "row \(row)")
          } else {
            #expect(a == b && clean.lse[row] == dirty.lse[row], "row \(row), \(variant.name)")
          }
        }
      }
    }
  }

  /// A value behind a query tile's last key, which tiles beside it read: 42 queries are one tile.
  @Test(arguments: InstructionSet.available, [ElementType.float32, .float16, .bfloat16])
  func noNumberInAValueStaysWithItsTiles(level: InstructionSet, type: ElementType) throws {
    let device = try CPUDevice(threads: 2, instructionSet: level)
    let turned = AttentionVariant("turned values") { v in v.value { x, _ in x.own + x.neighbour } }
    for pageSize in [1, 3, 16] {
      for variant in [
        AttentionVariant.causal, .causal.combined(with: .rope()), .causal.combined(with: turned),
      ] {
        let scenario = scenario(variant, pageSize, type, [(150, 150)])
        let material = try Scenario.Material(scenario, device)
        let clean = try scenario.run(material, workers: 1)
        // Position 44, head 1: in the panel in which the first tile ends.
        try mark(material, position: 44, value: .infinity, device)
        let dirty = try scenario.run(material, workers: 1)
        for row in 0..<150 * 6 {
          let (token, head) = (row / 6, row % 6)
          let (a, b) = (
            clean.output[row * 24..<row * 24 + 24], dirty.output[row * 24..<row * 24 + 24]
          )
          if token < 42 || head < 3 {
            #expect(a == b, "row \(row), \(variant.name), pages of \(pageSize)")
          } else if token >= 44 {
            let isMarked = b.contains { !$0.isFinite }
            #expect(isMarked, "row \(row), \(variant.name)")
          }
        }
      }
    }
  }
}
