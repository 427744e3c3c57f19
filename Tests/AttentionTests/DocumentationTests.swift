import Attention
import Devices
import Foundation
import Tensors
import Testing

/// Every piece of Swift in README and in the articles stands here too, compiled and run.
///
/// A block of an article must be lines of this file, as they are but for indentation; a block that is
/// not fails `everyBlockIsHere`.
@Suite struct DocumentationTests {
  private let random = AlignedBuffer(byteCount: 1 << 16)

  /// Rows of arbitrary numbers.
  private func matrix(_ rows: Int, _ columns: Int) throws -> MatrixView {
    let floats = random.elements(Float.self)
    for i in floats.indices { floats[i] = Float(i % 23) / 8 - 1 }
    return MatrixView(try #require(floats.baseAddress), rows: rows, columns: columns)
  }

  @Test func yourFirstVariant() throws {
    let (q, k, v) = (try matrix(6, 512), try matrix(6, 128), try matrix(6, 128))
    let output = AlignedBuffer(byteCount: 6 * 512 * 4)
    let o = MatrixView(
      try #require(output.elements(Float.self).baseAddress), rows: 6, columns: 512)

    let softCapped = AttentionVariant("soft-cap") { v in
      let cap = v.parameter("cap", default: 30)
      v.logits { s, at in cap * tanh(s / cap) }
      v.mask { at in at.kv <= at.query && at.query - at.kv < 4096 }
    }
    #expect(
      softCapped.definition == """
        soft-cap: scale 1/sqrt(d)
          logits: cap * tanh(s / cap)
          mask: at.kv <= at.query && at.query - at.kv < 4096
        """)

    let device = try CPUDevice()
    let shape = AttentionShape(queryHeads: 8, kvHeads: 2, headDimension: 64)
    let plan = try AttentionPlan(device: device, shape: shape, variant: softCapped)
    let cache = try PagedKVCache(pageCount: 64, pageSize: 16, kvHeads: 2, headDimension: 64)

    // Two requests: one token after 36 others, and a prompt of 5.
    let batch = try AttentionBatch(
      queries: RaggedIndex(lengths: [1, 5]),
      pages: PageTable(
        requests: [(pages: [7, 2, 9], kvLength: 37), (pages: [4], kvLength: 5)], pageSize: 16))
    try plan.update(batch)
    try cache.append(keys: k, values: v, of: batch, on: device)
    try plan.run(queries: q, cache: cache, output: o)
    // The prompt's first token sees itself alone: its output is its value.
    for i in 0..<64 { #expect(abs(o.row(1)[i] - v.row(1)[i]) < 1e-2) }

    let tighter = try softCapped.setting("cap", to: 20)
    let biased = tighter.combined(with: .alibi(heads: 8))
    #expect(biased.definition.contains("at.kv - at.query"))

    let documents = AttentionVariant("documents") { v in
      let document = v.perToken("document")
      let slope = v.perHead("slope", (1...8).map { Float($0) / 8 })
      v.logits { s, at in s - slope * (at.query - at.kv) }
      v.mask { at in at.kv <= at.query && document.ofKey .== document.ofQuery }
    }
    var tensors = VariantTensors()
    tensors["document"] = (0..<42).map { Float($0 / 10) }
    try AttentionPlan(device: device, shape: shape, variant: documents).update(
      batch, tensors: tensors)

    func print(_ error: any Error) {
      let text = "\(error)"
      #expect(text.hasPrefix("attention variant: the key functor defined at AttentionTests/"))
      #expect(text.hasSuffix("reads at.query, which has no meaning there: x.own * at.query"))
    }
    let wrong = AttentionVariant("wrong") { v in v.key { k, at in k.own * at.query } }
    do {
      try wrong.check()
    } catch {
      print(error)
    }
  }

  @Test func states() {
    let a = AttentionState(output: [1, 2], logSumExp: LogSumExp(natural: 0))
    let b = AttentionState(output: [3, 4], logSumExp: LogSumExp(natural: 0))
    let both = a ⊕ b
    let same = both ⊕ .empty(dimension: 2)
    #expect(both.output == [2, 3] && abs(both.logSumExp.natural - 0.6931472) < 1e-6)
    #expect(same.output == both.output && same.logSumExp == both.logSumExp)

    let state = LogSumExp(base2: 3)
    let natural = state.natural
    #expect(abs(natural - 2.0794415) < 1e-6)
  }

  @Test func planning() throws {
    let device = try CPUDevice(threads: 2)
    let shape = AttentionShape(queryHeads: 4, kvHeads: 2, headDimension: 16)
    let shared = Array(0..<300)
    let batch = try AttentionBatch(
      queries: RaggedIndex(lengths: [1, 1]),
      pages: PageTable(
        requests: [(shared + [300], 4_801), (shared + [301], 4_807)], pageSize: 16))

    let plan = try AttentionPlan(device: device, shape: shape, variant: .causal, workers: 4)
    try plan.update(batch)
    #expect(plan.readTogether == [SharedRun(requests: [0, 1], keys: 0..<4_800)])

    try plan.update(batch, composition: .off)
    #expect(plan.readTogether.isEmpty)

    let bounds = AttentionBounds(requests: 32, queryRows: 512, pages: 4_096)
    let bytes = try AttentionPlan.workspaceSize(for: bounds, device: device, shape: shape)
    let fixed = try AttentionPlan(device: device, shape: shape, bounds: bounds)
    #expect(fixed.workspaceSize == bytes)

    let invariant = try AttentionPlan(device: device, shape: shape, isBatchInvariant: true)
    try invariant.update(batch)
    #expect(invariant.readTogether.isEmpty)
  }

  @Test func formats() throws {
    let pages = try PageTable(
      requests: [(pages: [7, 2, 9], kvLength: 40), (pages: [4], kvLength: 5)], pageSize: 16)
    let batch = try AttentionBatch(queries: RaggedIndex(lengths: [1, 5]), pages: pages)
    #expect(batch.newTokenSlots == [9 * 16 + 7, 64, 65, 66, 67, 68])
  }

  @Test func evictedPages() throws {
    // The first page and the last two of 1,000 tokens; the pages between were evicted.
    let pages = try PageTable(
      offsets: [0, 3], indices: [7, 2, 9], positions: [0, 976, 992], kvLengths: [1_000],
      pageSize: 16)
    #expect(pages.slot(of: 999, in: 0) == 9 * 16 + 7 && pages.slot(of: 500, in: 0) == nil)
  }

  @Test func masksThatCutPages() throws {
    let device = try CPUDevice(threads: 1)
    let plan = try AttentionPlan(
      device: device, shape: AttentionShape(queryHeads: 2, kvHeads: 1, headDimension: 8),
      variant: .customMask)
    let queries = try RaggedIndex(lengths: [20])
    let pages = try PageTable(raggedLengths: [100], pageSize: 16)
    let mask = try PackedMask(shapes: [.init(queries: 20, keys: 100)]) { _, i, key in
      (i + key) % 7 == 0 && key < 40
    }

    let rows = try BlockRows(covering: mask, rowSize: 16, pageSize: 16)
    let batch = try AttentionBatch(queries: queries, pages: pages, rows: rows)
    var tensors = VariantTensors()
    tensors[mask: "custom-mask"] = mask.bytes
    try plan.update(batch, tensors: tensors)  // of the variant .customMask
    #expect(rows.pages == [0, 1, 2, 0, 1, 2])
  }

  /// README's engine, the tensors being somebody's.
  @Test func readme() throws {
    let table = try PageTable(requests: [([3, 1], 20)], pageSize: 16)
    let batch = try AttentionBatch(queries: RaggedIndex(lengths: [1]), pages: table)
    let (q, k, v) = (try matrix(1, 32 * 128), try matrix(1, 8 * 128), try matrix(1, 8 * 128))
    let output = AlignedBuffer(byteCount: 32 * 128 * 4)
    let o = MatrixView(
      try #require(output.elements(Float.self).baseAddress), rows: 1, columns: 32 * 128)
    let softCapped = AttentionVariant.softCap(30)

    let device = try CPUDevice()
    let shape = AttentionShape(queryHeads: 32, kvHeads: 8, headDimension: 128)
    let plan = try AttentionPlan(device: device, shape: shape, variant: softCapped)
    let cache = try PagedKVCache(pageCount: 1024, pageSize: 16, kvHeads: 8, headDimension: 128)

    try plan.update(batch)  // page tables and query lengths
    try cache.append(keys: k, values: v, of: batch, on: device)
    try plan.run(queries: q, cache: cache, output: o)  // decode, prefill or both at once
  }

  /// The blocks of README and of the articles stand in this file or in the notation's tests, line
  /// breaks and indentation aside.
  @Test func everyBlockIsHere() throws {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    func text(_ path: String) throws -> String {
      try String(contentsOf: root.appendingPathComponent(path), encoding: .utf8)
    }
    func squeezed(_ text: some StringProtocol) -> String {
      String(text.filter { !$0.isWhitespace })
    }
    let code = try ["DocumentationTests", "NotationTests"].map {
      squeezed(try text("Tests/AttentionTests/\($0).swift"))
    }
    let articles = ["Attention", "YourFirstVariant", "KVFormats", "States", "Planning"]
    var count = 0
    for path in articles.map({ "Sources/Attention/Attention.docc/\($0).md" }) + ["README.md"] {
      for block in try text(path).components(separatedBy: "```swift\n").dropFirst() {
        let lines = block.components(separatedBy: "```")[0].split(separator: "\n")
          .filter { $0 != "import Attention" }
        if lines[0] == "// Package.swift" || lines.allSatisfy({ $0.hasPrefix("print(") }) {
          continue
        }
        count += 1
        let wanted = squeezed(lines.joined())
        #expect(code.contains { $0.contains(wanted) }, "\(path): \(lines[0])")
      }
    }
    #expect(count >= 15)
  }
}
