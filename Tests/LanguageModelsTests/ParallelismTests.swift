import Attention
import Checkpoints
import Devices
import LanguageModels
import Tensors
import Testing
import TestModels

/// Ranks, threads of this process, are one model.
@Suite struct ParallelismTests {
  private static let prompt: [Int32] = [72, 101, 108, 108, 111, 44, 32, 119]

  /// The logits after a prompt and after two more tokens.
  private static func logits(_ model: LanguageModel, _ device: CPUDevice) throws -> [[Float]] {
    var options = ModelRunner.Options()
    options.kvType = .float32
    let runner = try ModelRunner(model, device: device, options: options)
    return [try runner.extend(prompt), try runner.extend([33]), try runner.extend([10])]
  }

  /// Does something on rank 0 while the others follow.
  private static func lead<R: Sendable>(
    _ path: String, _ ranks: ThreadRanks,
    _ body: @escaping @Sendable (LanguageModel, CPUDevice) throws -> R
  ) -> [Result<R?, any Error>] {
    ranks.run { communicator in
      let device = try CPUDevice(threads: 1)
      let parallelism = TensorParallelism(communicator)
      let model = try ModelBundle(path: path, device: device, parallelism: parallelism).model
      guard communicator.rank == 0 else {
        do { try model.follow(device: device) } catch {
          communicator.abort("\(error)")
          throw error
        }
        return nil
      }
      defer { parallelism.end() }
      return try body(model, device)
    }
  }

  private static func areClose(_ a: [[Float]], _ b: [[Float]]) -> Bool {
    a.count == b.count
      && zip(a, b).allSatisfy { a, b in
        let size = b.map(abs).max() ?? 0
        return zip(a, b).allSatisfy { abs($0 - $1) <= 1e-5 * size }
      }
  }

  /// Even parts, uneven ones, and more ranks than key and value heads.
  @Test(
    arguments: ["llama", "qwen2", "qwen3", "gemma3"],
    [(6, 3, 2), (6, 3, 3), (6, 3, 6), (6, 2, 4), (6, 1, 4)])
  func ranksAreOne(_ architecture: String, _ sizes: (heads: Int, kvHeads: Int, ranks: Int)) throws {
    var model = TinyModel()
    model.architecture = architecture
    (model.width, model.heads, model.kvHeads) = (48, sizes.heads, sizes.kvHeads)
    if architecture == "gemma3" { model.overrides["attention.sliding_window"] = .uint32(5) }
    // Biases are divided with the outputs, and counted once where inputs are.
    for (name, count) in [
      ("attn_q", 48), ("attn_k", 8 * sizes.kvHeads), ("attn_v", 8 * sizes.kvHeads),
      ("attn_output", 48), ("ffn_gate", 96), ("ffn_down", 48),
    ] {
      model.vectors["blk.1.\(name).bias"] = (0..<count).map { Float($0 % 7) / 8 - 0.25 }
    }
    try model.withFile { path in
      let device = try CPUDevice(threads: 1)
      let whole = try Self.logits(ModelBundle(path: path, device: device).model, device)
      let ranks = ThreadRanks(sizes.ranks)
      let found = try Self.lead(path, ranks) { try Self.logits($0, $1) }.map { try $0.get() }
      #expect(Self.areClose(found[0] ?? [], whole))
      // Two sums a layer and step: the work really is divided.
      #expect(ranks.sumCount == 2 * 2 * 3)
      // And so are the logits after each of three steps.
      #expect(ranks.gatherCount == 3)
    }
  }

  /// Pages that move and drafts that branch are the same on all ranks.
  @Test func treesAndCopiedPagesAreFollowed() throws {
    @Sendable func run(_ model: LanguageModel, _ device: CPUDevice) throws -> [[Float]] {
      var options = BatchRunner.Options(pageCount: 8, pageSize: 4, rows: 16)
      options.kvType = .float32
      let runner = try BatchRunner(model, device: device, options: options)
      func pages(_ indices: [Int], _ length: Int) throws -> PageTable {
        try PageTable(requests: [(pages: indices, kvLength: length)], pageSize: 4)
      }
      try runner.run(
        ModelStep(
          tokens: Self.prompt, batch: AttentionBatch(offsets: [0, 8], pages: pages([5, 1], 8))))
      try runner.copyPage(1, to: 6)
      var step = ModelStep(
        tokens: [7, 33, 10, 11],
        batch: try AttentionBatch(offsets: [0, 1], pages: pages([5, 6, 2], 9)))
      step.trees = try SpeculationBatch(
        trees: [SpeculationTree(parents: [-1, 0, 0])], pages: pages([5, 1, 3], 11))
      try runner.run(step)
      var logits: [[Float]] = []
      try runner.logits(of: [0, 1, 2, 3]) { places, block in
        for row in 0..<places.count {
          logits.append((0..<block.columns).map { block.row(row)[$0] })
        }
      }
      return logits
    }
    try TinyModel().withFile { path in
      let device = try CPUDevice(threads: 1)
      let whole = try run(ModelBundle(path: path, device: device).model, device)
      let found = try Self.lead(path, ThreadRanks(2), run).map { try $0.get() }
      #expect(whole.count == 4 && Self.areClose(found[0] ?? [], whole))
    }
  }

  /// What rank 0 refuses nobody hears of, and what another rank cannot do ends all.
  @Test func failuresEndInErrors() throws {
    try TinyModel().withFile { path in
      let found = try Self.lead(path, ThreadRanks(2)) { model, device in
        let runner = try ModelRunner(model, device: device)
        #expect(throws: ModelError.self) { try runner.extend([-1]) }
        return try runner.extend([1]).count
      }.map { try $0.get() }
      #expect(found == [260, nil])

      let ended = ThreadRanks(2).run { communicator in
        let device = try CPUDevice(threads: 1)
        let model = try ModelBundle(
          path: path, device: device, parallelism: TensorParallelism(communicator)
        ).model
        if communicator.rank == 1 { return communicator.abort("no more") }
        _ = try ModelRunner(model, device: device).extend([1])
      }
      #expect(throws: ThreadRanks.Aborted.self) { try ended[0].get() }
    }
  }

  @Test func whatRanksCannotDivideIsRefused() throws {
    try TinyModel().withFile { path in
      for (rank, count) in [(0, 3), (2, 2), (0, 6), (0, 8)] {
        #expect(throws: ModelError.self) {
          _ = try ModelBundle(
            path: path, device: CPUDevice(threads: 1),
            parallelism: TensorParallelism(Silent(rank: rank, count: count)))
        }
      }
    }
  }

  /// Of 6 query and 3 key and value heads and 96 inner elements.
  @Test(arguments: [
    (rank: 0, of: 2, heads: 4, kvHeads: 2, inner: 48), (1, 2, 2, 1, 48), (2, 3, 2, 1, 32),
    (4, 6, 1, 1, 16),
  ])
  func aRankHasItsPart(_ part: (rank: Int, of: Int, heads: Int, kvHeads: Int, inner: Int)) throws {
    var model = TinyModel()
    (model.width, model.heads, model.kvHeads) = (48, 6, 3)
    try model.withFile { path in
      let found = try ModelBundle(
        path: path, device: CPUDevice(threads: 1),
        parallelism: TensorParallelism(Silent(rank: part.rank, count: part.of))
      ).model.configuration
      #expect(found.headCount == part.heads && found.kvHeadCount == part.kvHeads)
      #expect(found.feedForwardWidth == part.inner)
      #expect(found.width == 48 && found.headDimension == 8)
    }
  }

  private struct Silent: Communicator {
    let rank: Int
    let count: Int
    func addUp(_ values: UnsafeMutableBufferPointer<Float>) {}
    func addUp(_ values: UnsafeMutableBufferPointer<Double>) {}
    func gather(_ values: UnsafeMutableBufferPointer<Float>, counts: [Int]) {}
    func broadcast(_ bytes: UnsafeMutableRawBufferPointer) {}
    func abort(_ reason: String) {}
  }
}
