import Checkpoints
import Devices
import LanguageModels
import StubCUDA
import Tensors
import TestModels

/// A small model of an architecture run on the device and on the processor, step by step: prompts, single
/// tokens of several sequences, a sequence that parts from another, and what does not fit a captured step.
struct ModelCase {
  let name: String
  let architecture: CUDAArchitecture
  let model: TinyModel
  var precision = LinearPrecision.fast
  var kvType = ElementType.bfloat16
  var rotatesInAttention = false
  /// Whether branches are summed over a group of one.
  var hasGroup = false

  /// How far a logit may be from the processor's, relative to the row's largest: bfloat16 has 8 bits.
  var limit: Double { precision == .exact ? 1e-4 : 3e-2 }

  static var all: [ModelCase] {
    var llama = TinyModel()
    var wide = TinyModel()
    (wide.width, wide.heads, wide.kvHeads) = (128, 4, 2)
    var qwen2 = TinyModel()
    qwen2.architecture = "qwen2"
    var qwen3 = TinyModel()
    qwen3.architecture = "qwen3"
    for layer in 0..<2 {
      for (name, count) in [("attn_q", 32), ("attn_k", 16), ("attn_v", 16)] {
        qwen2.vectors["blk.\(layer).\(name).bias"] = (0..<count).map { Float($0 % 7) / 8 - 0.25 }
      }
      // Of a bias behind a product that is added to the residual stream.
      llama.vectors["blk.\(layer).ffn_down.bias"] = (0..<32).map { Float($0 % 5) / 8 - 0.25 }
      for name in ["attn_q_norm", "attn_k_norm"] {
        qwen3.vectors["blk.\(layer).\(name).weight"] = (0..<8).map { 0.75 + Float($0) / 16 }
      }
    }
    var gemma = TinyModel()
    gemma.architecture = "gemma3"
    gemma.overrides = [
      "attention.sliding_window": .uint32(5), "attention.sliding_window_pattern": .uint32(2),
    ]
    return [
      ModelCase(
        name: "model-llama-f32", architecture: .sm80, model: llama, precision: .exact,
        kvType: .float32),
      ModelCase(
        name: "model-gemma3-f32", architecture: .sm80, model: gemma, precision: .exact,
        kvType: .float32),
      ModelCase(name: "model-llama", architecture: .sm80, model: llama, kvType: .float16),
      ModelCase(name: "model-llama-hopper", architecture: .sm90a, model: wide),
      ModelCase(name: "model-qwen2", architecture: .sm89, model: qwen2, hasGroup: true),
      ModelCase(name: "model-qwen3", architecture: .sm86, model: qwen3),
      ModelCase(name: "model-gemma3", architecture: .sm90a, model: gemma, hasGroup: true),
      ModelCase(
        name: "model-streaming", architecture: .sm80, model: llama, rotatesInAttention: true),
    ]
  }

  /// What is asked of the driver, counted.
  struct Calls: Equatable {
    var copies = 0
    var captures = 0
    var replays = 0
    var waits = 0

    static var now: Calls {
      let log = String(cString: stub_cuda_log()).split(separator: "\n")
      func count(_ name: String) -> Int { log.count { $0.hasPrefix(name) } }
      return Calls(
        copies: count("cuMemcpyHtoDAsync"), captures: count("cuStreamBeginCapture"),
        replays: count("cuGraphLaunch"), waits: count("cuStreamSynchronize"))
    }
  }

  /// The models on both sides and their runners.
  private func runners(_ device: CheckDevice) throws -> (processor: BatchRunner, gpu: BatchRunner) {
    let group = try hasGroup ? NCCL.group([device.context], library: device.stub) : []
    let gpu = try device.models(group.first)
    var options = BatchRunner.Options(pageCount: Script.pages, pageSize: 16, rows: 40)
    options.sequences = 6
    options.context = 64
    options.rotatesInAttention = rotatesInAttention
    var exact = options
    exact.kvType = .float32
    options.kvType = kvType
    return try model.withFile { path in
      (
        try BatchRunner(
          ModelBundle(path: path, device: device.host).model, device: device.host, options: exact),
        try BatchRunner(
          ModelBundle(path: path, precision: precision, device: device.host, gpu: gpu).model,
          device: device.host, options: options)
      )
    }
  }

  /// The largest difference of a logit, relative to its row's largest; infinite where the driver is asked
  /// for something else than should be.
  func check(_ device: CheckDevice) throws -> Double {
    let (processor, gpu) = try runners(device)
    var script = Script()
    let kinds = model.architecture == "gemma3" ? 2 : 1
    var worst = 0.0
    /// Runs a step on both sides.
    func run(_ rows: [(sequence: Int, tokens: Int)], captures: Int = 0, replays: Int = 0) throws {
      let step = try script.step(rows)
      try processor.run(step)
      let before = Calls.now
      try gpu.run(step)
      let expected = Calls(
        copies: before.copies + kinds, captures: before.captures + captures,
        replays: before.replays + replays, waits: before.waits)
      // On a GPU there is no log.
      if device.stub != nil, Calls.now != expected { worst = .infinity }
    }
    func compare(_ rows: [Int]) throws {
      var all: [[Float]] = []
      try processor.logits(of: rows) { _, block in
        all += (0..<block.rows).map { row in
          Array(UnsafeBufferPointer(start: block.row(row), count: block.columns))
        }
      }
      try gpu.logits(of: rows) { places, block in
        for (i, place) in places.enumerated() {
          let found = UnsafeBufferPointer(start: block.row(i), count: block.columns)
          worst = max(worst, difference(Array(found), all[place]))
        }
      }
      try device.synchronize()
    }

    // Three prompts, one longer than a page, and what of them may be asked for.
    try run([(0, 5), (1, 18), (2, 1)])
    try compare([4, 22, 23, 4, 0])
    // Steps of three sequences: the first runs as asked for, the second is captured.
    try run([(0, 1), (1, 1), (2, 1)])
    try compare([0, 1, 2])
    try run([(0, 1), (1, 1), (2, 1)], captures: 1, replays: 1)
    try compare([0, 1, 2])
    // Two steps that are not waited for in between.
    try run([(2, 1), (0, 1), (1, 1)], replays: 1)
    try run([(1, 1), (2, 1), (0, 1)], replays: 1)
    try compare([2, 0, 1])
    // A fourth parts from the second: one page is shared, the other one copied.
    for (source, target) in script.fork(1, as: 3) {
      try processor.copyPage(source, to: target)
      try gpu.copyPage(source, to: target)
    }
    try run([(3, 1), (1, 1), (0, 1), (2, 1)], replays: 1)
    try compare([0, 1])
    // A prompt beside single tokens, and then other numbers of sequences.
    try run([(0, 1), (4, 20), (1, 1)])
    try compare([21, 0])
    try run([(4, 1), (1, 1)])
    try run([(4, 1), (1, 1)], captures: 1, replays: 1)
    try run([(3, 1), (2, 1), (1, 1)], replays: 1)
    try compare([0, 1, 2])
    let (a, b) = (try processor.hidden(0..<3), try gpu.hidden(0..<3))
    for row in 0..<3 {
      worst = max(
        worst,
        difference(
          (0..<b.columns).map { b.row(row)[$0] }, (0..<a.columns).map { a.row(row)[$0] }))
    }
    return worst
  }

  /// The largest difference relative to the largest expected number; infinite where a number is none, or
  /// where the largest stands elsewhere although it is clear.
  private func difference(_ found: [Float], _ expected: [Float]) -> Double {
    let sorted = expected.indices.sorted { expected[$0] > expected[$1] }
    let best = found.indices.max { found[$0] < found[$1] }
    let size = Double(expected.map(abs).max() ?? 0)
    let isClear = Double(expected[sorted[0]] - expected[sorted[1]]) > 2 * limit * size
    return isClear && best != sorted[0] ? .infinity : Self.relativeError(found, expected)
  }

  /// The largest difference relative to the largest expected number; infinite where a number is none.
  static func relativeError(_ found: [Float], _ expected: [Float]) -> Double {
    let size = Double(expected.map(abs).max() ?? 0)
    return zip(found, expected).reduce(0) { worst, pair in
      let off = abs(Double(pair.0) - Double(pair.1)) / size
      return max(worst, off.isNaN ? .infinity : off)
    }
  }
}
