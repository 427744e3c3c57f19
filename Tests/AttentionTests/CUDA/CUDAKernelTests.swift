import Attention
import Devices
import Tensors
import Testing

/// What is certain of the kernels' text without a compiler; `cuda-check` runs it.
@Suite struct CUDAKernelTests {
  private func kernel(
    _ variant: AttentionVariant = .causal, _ shape: AttentionShape? = nil,
    query: ElementType = .bfloat16, stored: ElementType = .bfloat16,
    _ tile: CUDAAttentionKernel.Tile = .tensor(rows: 64), on architecture: CUDAArchitecture = .sm80
  ) throws -> CUDAAttentionKernel {
    try CUDAAttentionKernel(
      shape: shape ?? AttentionShape(queryHeads: 8, kvHeads: 2, headDimension: 128),
      variant: variant, queryType: query, storedType: stored, tile: tile,
      architecture: architecture)
  }

  private static let variants: [AttentionVariant] = [
    .full, .causal, .slidingWindow(left: 7), .softCap(30), .alibi(heads: 8), .customMask, .treeMask,
    .documentMask, .sigmoid(bias: -1), .sink(logits: [Float](repeating: 0, count: 8)),
    .cacheScales, .latent(),
  ]

  @Test("A kernel's text follows from what it is for, and says when that changes")
  func textsAreFunctions() throws {
    var texts: Set<String> = []
    for variant in Self.variants where variant != .latent() {
      let text = try kernel(variant).source.text
      #expect(text == (try kernel(variant).source.text))
      texts.insert(text)
    }
    #expect(texts.count == Self.variants.count - 1)
    #expect(try kernel(.softCap(30)).source.text != (try kernel(.softCap(31)).source.text))
  }

  @Test("Brackets close in the text of every variant and tile")
  func bracketsClose() throws {
    for variant in Self.variants {
      for tile in [CUDAAttentionKernel.Tile.cores, .tensor(rows: 16), .tensor(rows: 128)] {
        var open: [Character] = []
        for character in try kernel(variant, tile).source.text {
          switch character {
          case "(", "[", "{": open.append(character)
          case ")": #expect(open.popLast() == "(")
          case "]": #expect(open.popLast() == "[")
          case "}": #expect(open.popLast() == "{")
          default: break
          }
        }
        #expect(open.isEmpty)
      }
    }
  }

  private func kernel(_ variant: AttentionVariant, _ tile: CUDAAttentionKernel.Tile) throws
    -> CUDAAttentionKernel
  {
    try kernel(variant, nil, tile)
  }

  @Test("A kernel asks for no more shared memory than its device has")
  func sharedMemoryFits() throws {
    let limits: [CUDAArchitecture: Int] = [
      .sm80: 163 << 10, .sm86: 99 << 10, .sm89: 99 << 10, .sm90a: 227 << 10,
    ]
    for (architecture, limit) in limits {
      for d in [1, 40, 64, 128, 256, 576] {
        let shape = AttentionShape(queryHeads: 4, kvHeads: 4, headDimension: d)
        var tiles = [16, 32].map { CUDAAttentionKernel.Tile.tensor(rows: $0) }
        if d <= 256 { tiles += [64, 128].map { .tensor(rows: $0) } }
        if d <= 256 && architecture == .sm90a {
          tiles.append(.warpGroups(rows: 64, usesTMA: false))
        }
        for tile in tiles {
          let source = try kernel(.causal, shape, tile, on: architecture).source
          #expect(source.dynamicSharedBytes <= limit)
          #expect(source.threads % 32 == 0 && source.threads <= 1024)
        }
      }
    }
  }

  @Test("What has no kernel is refused by name")
  func refusals() {
    #expect(throws: CUDAAttentionKernel.Unsupported.types(query: .int8, stored: .bfloat16)) {
      try kernel(query: .int8)
    }
    #expect(throws: CUDAAttentionKernel.Unsupported.types(query: .bfloat16, stored: .float32)) {
      try kernel(stored: .float32)
    }
    #expect(throws: CUDAAttentionKernel.Unsupported.dimension(577)) {
      try kernel(.causal, AttentionShape(queryHeads: 1, kvHeads: 1, headDimension: 577))
    }
    #expect(throws: CUDAAttentionKernel.Unsupported.dimension(512)) {
      try kernel(
        .latent(),
        AttentionShape(queryHeads: 16, kvHeads: 1, headDimension: 576, valueDimension: 512))
    }
    #expect(throws: CUDAAttentionKernel.Unsupported.architecture(.sm80)) {
      try kernel(.causal, .warpGroups(rows: 64, usesTMA: false))
    }
    #expect(throws: CUDAAttentionKernel.Unsupported.self) { try kernel(.causal, .tensor(rows: 48)) }
  }

  @Test("The plan's records lie in memory as the text declares them")
  func recordsMatch() {
    #expect(MemoryLayout<QueryTile>.stride == 36)
    #expect(MemoryLayout<QueryTile>.offset(of: \.kvEnd) == 20)
    #expect(MemoryLayout<QueryTile>.offset(of: \.hasPositions) == 24)
    #expect(MemoryLayout<QueryTile>.offset(of: \.kvHead) == 28)
    #expect(MemoryLayout<WorkItem>.stride == 24)
    #expect(MemoryLayout<WorkItem>.offset(of: \.state) == 20)
    #expect(MemoryLayout<MergeItem>.stride == 20)
  }
}
