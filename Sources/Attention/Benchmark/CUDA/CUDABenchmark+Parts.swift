internal import Devices
internal import Tensors

extension CUDABenchmark {
  /// What is bounded by reading, and what by multiplying.
  private enum Limit { case copy, product }

  /// The most that rounding leaves.
  private static let tolerance = 3e-2

  /// Checks and times a workload.
  private func measure(
    _ part: String, _ work: WorkloadBenchmark, _ limit: Limit,
    tile: CUDAAttentionKernel.Tile? = nil, stored: ElementType = .bfloat16,
    composition: Composition = .automatic
  ) throws {
    let shape = work.shape
    let workload: Workload
    do {
      workload = try Workload(
        self, work, tile: tile, stored: stored, composition: composition)
    } catch CUDAAttention.Failure.kernel {
      // An engine that this GPU or shape has not.
      return
    }
    let error = try workload.error()
    let isRight = error <= Self.tolerance
    let time = isRight ? try workload.seconds() : 0
    let rate = limit == .copy ? workload.bytes / time / 1e9 : workload.operations / time / 1e12
    let best = limit == .copy ? copyRate : productRate
    add(
      Row(
        part: part, name: work.name, tile: "\(workload.attention.tile)\(tile == nil ? "" : "*")",
        queryLengths: work.queryLengths, kvLengths: work.kvLengths, prefix: work.prefix,
        pageSize: work.pageSize,
        heads: [shape.queryHeads, shape.kvHeads, shape.headDimension, shape.valueDimension],
        type: stored.rawValue, microseconds: time * 1e6, rate: isRight ? rate : nil,
        unit: limit == .copy ? "GB/s" : "TFLOP/s",
        ratio: isRight ? best.map { rate / $0 } : nil, error: error, isRight: isRight))
  }

  private func decode(
    _ name: String, _ lengths: [Int], group: Int = 4, pageSize: Int = 16
  ) -> WorkloadBenchmark {
    WorkloadBenchmark(
      part: .lengths, name: name, queryLengths: lengths.map { _ in 1 }, kvLengths: lengths,
      pageSize: pageSize,
      shape: AttentionShape(
        queryHeads: group * sizes.kvHeads, kvHeads: sizes.kvHeads, headDimension: 128))
  }

  private func lengths(_ spread: KernelBenchmark.Lengths, _ batch: Int) -> [Int] {
    var benchmark = KernelBenchmark(phase: .decode, lengths: spread, groupSize: 1)
    (benchmark.batch, benchmark.meanLength) = (batch, sizes.meanLength)
    return benchmark.requestLengths
  }

  /// Constant, uniform and Zipf lengths, by the engine that is chosen and by the others.
  func measureDecode() throws {
    for batch in sizes.batches {
      for spread in KernelBenchmark.Lengths.allCases {
        for group in [1, 4, 8] {
          let work = decode(
            "\(spread.rawValue) g\(group) x \(batch)", lengths(spread, batch), group: group)
          for tile in [nil, .cores, .tensor(rows: 16)] as [CUDAAttentionKernel.Tile?] {
            try measure("decode", work, .copy, tile: tile)
          }
        }
      }
    }
  }

  private func prompt(_ tokens: Int, pageSize: Int = 16) -> WorkloadBenchmark {
    WorkloadBenchmark(
      part: .lengths, name: "causal \(tokens)", queryLengths: [tokens], kvLengths: [tokens],
      pageSize: pageSize,
      shape: AttentionShape(
        queryHeads: 4 * sizes.kvHeads, kvHeads: sizes.kvHeads, headDimension: 128))
  }

  /// One causal prompt.
  func measurePrefill() throws {
    for tokens in sizes.prompts {
      for tile in [
        nil, .warpGroups(rows: 128, usesTMA: true), .warpGroups(rows: 128, usesTMA: false),
        .tensor(rows: 128),
      ] as [CUDAAttentionKernel.Tile?] {
        try measure("prefill", prompt(tokens), .product, tile: tile)
      }
    }
  }

  /// Latent attention, keys of 576 and values of 512 elements: decode.
  func measureLatent() throws {
    for heads in sizes.latentHeads {
      for batch in sizes.batches {
        var work = decode("\(heads) heads x \(batch)", lengths(.constant, batch))
        work.shape = AttentionShape(
          queryHeads: heads, kvHeads: 1, headDimension: 576, valueDimension: 512)
        work.variant = .latent()
        for tile in [nil, .tensor(rows: 16), .tensor(rows: 32)] as [CUDAAttentionKernel.Tile?] {
          try measure("latent", work, .copy, tile: tile)
        }
      }
    }
  }

  /// Keys and values in 8-bit floats: decode.
  func measureSmallFloats() throws {
    for batch in sizes.batches {
      for group in [1, 4, 8] {
        try measure(
          "fp8", decode("g\(group) x \(batch)", lengths(.constant, batch), group: group), .copy,
          stored: .float8E4M3)
      }
    }
  }

  /// Pages of one token, of sixteen, and requests in one piece.
  func measurePages() throws {
    let batch = sizes.batches.first ?? 1
    let one = (sizes.meanLength + 15) / 16 * 16
    for size in [1, 16, one] {
      let work = decode("decode, pages of \(size)", lengths(.constant, batch), pageSize: size)
      try measure("pages", work, .copy)
    }
    guard let tokens = sizes.prompts.last(where: { $0 <= 4_096 }) else { return }
    for size in [1, 16, (tokens + 15) / 16 * 16] {
      var work = prompt(tokens, pageSize: size)
      work.name = "prefill, pages of \(size)"
      try measure("pages", work, .product)
    }
  }

  /// The paper's Table 5, its kind: requests with a common beginning, read once and for each.
  func measurePrefixes() throws {
    for prefix in sizes.prefixes {
      for batch in sizes.sharers {
        for (how, composition) in [("single", Composition.off), ("composed", .automatic)] {
          var work = decode(
            "\(how) \(prefix) x \(batch)", [Int](repeating: prefix + 128, count: batch))
          work.prefix = prefix
          let tiles: [CUDAAttentionKernel.Tile?] =
            composition == .off ? [nil] : [nil, .tensor(rows: 64), .tensor(rows: 128)]
          for tile in tiles {
            try measure("prefix", work, .copy, tile: tile, composition: composition)
          }
        }
      }
    }
  }

  /// From a variant to its first result: text, compiler, loading, launch.
  func measureStarts() throws {
    let causal = AttentionVariant.causal
    let variants: [(String, AttentionVariant)] = [
      ("causal", causal), ("window", causal.combined(with: .slidingWindow(left: 511))),
      ("soft cap", causal.combined(with: .softCap(30))),
      ("ALiBi", causal.combined(with: .alibi(heads: 4 * sizes.kvHeads))),
      ("sinks", causal.combined(with: .sink(logits: (0..<4 * sizes.kvHeads).map { Float($0) }))),
      ("sigmoid", causal.combined(with: .sigmoid(bias: -2))),
      ("rotary", causal.combined(with: .rope())),
    ]
    for (name, variant) in variants {
      for (phase, work) in [
        ("decode", decode("", [sizes.meanLength])), ("prefill", prompt(sizes.prompts.first ?? 1)),
      ] {
        var work = work
        work.variant = variant
        let workload = try Workload(self, work, tile: nil)
        for (how, loader) in loaders {
          guard let time = try workload.start(loader()) else { continue }
          add(
            Row(
              part: "start", name: "\(name), \(phase), \(how)",
              tile: "\(workload.attention.tile)", microseconds: time * 1e6))
        }
      }
    }
  }

  /// The host's time for a batch: planning, lists, and asking for the copy.
  func measurePlanning() throws {
    for batch in sizes.batches + [2 * (sizes.batches.last ?? 1)] {
      let work = decode("zipf x \(batch)", lengths(.zipf, batch))
      let workload = try Workload(self, work, tile: nil)
      let times = try (0..<4 * sizes.rounds).map { _ in
        let clock = ContinuousClock()
        let began = clock.now
        try workload.attention.update(workload.batch, on: stream)
        let time = began.duration(to: clock.now)
        try stream.synchronize()
        return time / .microseconds(1)
      }
      add(Row(part: "plan", name: work.name, microseconds: times.median))
    }
  }
}
