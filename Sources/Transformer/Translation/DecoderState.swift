internal import Attention
internal import Devices
internal import Tensors

/// The caches of a batch of sentences that are being translated, and the decoder's steps over them.
///
/// Keys and values of the encoder's output are computed once for a sentence, and all its hypotheses
/// read them together. The hypotheses' own are kept in pages of one token: a hypothesis is a list of
/// slots, so that beams part and end without anything being moved.
final class DecoderState {
  private let pass: InferencePass
  private var positions: SinusoidalPositions
  private let selfPlan: AttentionPlan
  private let crossPlan: AttentionPlan
  private var selfCaches: [PagedKVCache] = []
  private var crossCaches: [PagedKVCache] = []
  private var sourcePages: [[Int]] = []
  private var sourceLengths: [Int] = []
  private var freeSlots: [Int] = []

  private static let memoryPage = 16

  /// A hypothesis as the decoder sees it.
  struct Row {
    /// The sentence it translates; rows of one sentence follow each other, in order of sentences.
    var sentence: Int
    /// Its last token.
    var token: Int32
    /// The slots of its tokens, the last one's still to be written.
    var slots: [Int]
  }

  /// What encoding or decoding may meet.
  enum Failure: Error {
    case attention(AttentionPlan.Failure)
    case differentiable(DifferentiableAttention.Failure)
    case cache(PagedKVCache.Failure)
    case batch(String)
  }

  /// Encodes sentences.
  ///
  /// - Parameters:
  ///   - sources: Tokens, each ending with the end token.
  ///   - capacity: The most tokens of all hypotheses together at any time.
  init(_ packed: PackedTransformer, sources: [[Int32]], capacity: Int) throws(Failure) {
    let c = packed.model.configuration
    pass = InferencePass(packed: packed, arena: Arena())
    positions = SinusoidalPositions(dimension: c.modelDimension)
    positions.extend(to: sources.map(\.count).max() ?? 0)
    let shape = AttentionShape(
      queryHeads: c.heads, kvHeads: c.heads, headDimension: c.keyDimension,
      valueDimension: c.valueDimension)
    do {
      selfPlan = try AttentionPlan(
        device: packed.device, shape: shape, variant: .full, composition: .off)
      crossPlan = try AttentionPlan(
        device: packed.device, shape: shape, variant: .full, composition: .off)
    } catch {
      throw .attention(error)
    }
    freeSlots = Array((0..<capacity).reversed())
    sourceLengths = sources.map(\.count)
    var pages = 0
    for source in sources {
      let count = (source.count + Self.memoryPage - 1) / Self.memoryPage
      sourcePages.append(Array(pages..<pages + count))
      pages += count
    }
    do {
      for _ in 0..<c.layers {
        selfCaches.append(
          try PagedKVCache(
            pageCount: max(capacity, 1), pageSize: 1, kvHeads: c.heads,
            headDimension: c.keyDimension, valueDimension: c.valueDimension,
            elementType: .float32))
        crossCaches.append(
          try PagedKVCache(
            pageCount: max(pages, 1), pageSize: Self.memoryPage, kvHeads: c.heads,
            headDimension: c.keyDimension, valueDimension: c.valueDimension,
            elementType: .float32))
      }
    } catch {
      throw .cache(error)
    }
    try remember(try encode(sources, shape))
  }

  private func encode(
    _ sources: [[Int32]], _ shape: AttentionShape
  ) throws(Failure) -> MatrixView {
    let packed = pass.packed
    let index: RaggedIndex
    do { index = try RaggedIndex(lengths: sources.map(\.count)) } catch {
      throw .batch(error.description)
    }
    do throws(DifferentiableAttention.Failure) {
      let attention = try DifferentiableAttention(
        device: packed.device, shape: shape, variant: .full, differentiatesParameters: false)
      try attention.update(queries: index, keys: index)
      var x = pass.embed(
        Array(sources.joined()), positions: sources.flatMap { Array($0.indices) }, positions,
        packed.encoder)
      for layer in packed.encoder.layers {
        x = try pass.sublayer(x, layer.selfNorm) { y throws(DifferentiableAttention.Failure) in
          let (q, k, v) = pass.parts(pass.linear(y, layer.selfAttention.queries))
          let output = pass.arena.matrix(y.rows, pass.configuration.valueColumns)
          try attention.forward(
            queries: q, keys: k, values: v, output: output,
            lse: pass.arena.matrix(y.rows, pass.configuration.heads))
          return pass.linear(output, layer.selfAttention.output)
        }
        x = pass.feedForward(x, layer)
      }
      if let norm = packed.encoder.norm { x = pass.norm(x, adding: nil, norm) }
      return x
    } catch {
      throw .differentiable(error)
    }
  }

  /// Keys and values of the encoder's output, for every layer of the decoder.
  private func remember(_ memory: MatrixView) throws(Failure) {
    var slots: [Int] = []
    for (pages, length) in zip(sourcePages, sourceLengths) {
      let first = (pages.first ?? 0) * Self.memoryPage
      slots += first..<first + length
    }
    for (layer, cache) in zip(pass.packed.decoder.layers, crossCaches) {
      guard let projection = layer.crossAttention?.memory else { continue }
      let mark = pass.arena.mark
      defer { pass.arena.release(to: mark) }
      let (k, v) = pass.memoryParts(pass.linear(memory, projection))
      do {
        try cache.append(keys: k, values: v, slots: slots, on: pass.packed.device)
      } catch {
        throw .cache(error)
      }
    }
    pass.arena.reset()
  }

  /// A slot for a token; `nil` where all are taken.
  func takeSlot() -> Int? { freeSlots.popLast() }

  /// Makes every slot free that no hypothesis has.
  func keepSlots(of hypotheses: some Sequence<[Int]>, capacity: Int) {
    var isTaken = [Bool](repeating: false, count: capacity)
    for slots in hypotheses { for slot in slots { isTaken[slot] = true } }
    freeSlots = (0..<capacity).reversed().filter { !isTaken[$0] }
  }

  /// The number of slots that can be taken before `keepSlots` must find more.
  var freeSlotCount: Int { freeSlots.count }

  /// The logits of what follows each row's last token; valid until the next step.
  ///
  /// - Parameter rows: Hypotheses, all of one length.
  func step(_ rows: [Row]) throws(Failure) -> MatrixView {
    pass.arena.reset()
    let position = (rows.first?.slots.count ?? 1) - 1
    positions.extend(to: position + 1)
    do throws(AttentionPlan.Failure) {
      try selfPlan.update(try selfBatch(rows))
      try crossPlan.update(try crossBatch(rows))
    } catch {
      throw .attention(error)
    }
    let packed = pass.packed
    let slots = rows.map { $0.slots[position] }
    var x = pass.embed(
      rows.map(\.token), positions: [Int](repeating: position, count: rows.count), positions,
      packed.decoder)
    for (i, layer) in packed.decoder.layers.enumerated() {
      x = try pass.sublayer(x, layer.selfNorm) { y throws(Failure) in
        let (q, k, v) = pass.parts(pass.linear(y, layer.selfAttention.queries))
        do throws(PagedKVCache.Failure) {
          try selfCaches[i].append(keys: k, values: v, slots: slots, on: packed.device)
        } catch {
          throw .cache(error)
        }
        return pass.linear(try attend(q, selfCaches[i], selfPlan), layer.selfAttention.output)
      }
      if let cross = layer.crossAttention, let norm = layer.crossNorm {
        x = try pass.sublayer(x, norm) { y throws(Failure) in
          let q = pass.linear(y, cross.queries)
          return pass.linear(try attend(q, crossCaches[i], crossPlan), cross.output)
        }
      }
      x = pass.feedForward(x, layer)
    }
    if let norm = packed.decoder.norm { x = pass.norm(x, adding: nil, norm) }
    return pass.linear(x, packed.output)
  }

  private func attend(
    _ q: MatrixView, _ cache: PagedKVCache, _ plan: AttentionPlan
  ) throws(Failure) -> MatrixView {
    let output = pass.arena.matrix(q.rows, pass.configuration.valueColumns)
    do {
      try plan.run(queries: q, cache: cache, output: output)
    } catch {
      throw .attention(error)
    }
    return output
  }

  private func selfBatch(_ rows: [Row]) throws(AttentionPlan.Failure) -> AttentionBatch {
    try batch(rows.map { (1, $0.slots, $0.slots.count) }, pageSize: 1)
  }

  /// Hypotheses of one sentence are queries of one request.
  private func crossBatch(_ rows: [Row]) throws(AttentionPlan.Failure) -> AttentionBatch {
    var counts = [Int](repeating: 0, count: sourceLengths.count)
    for row in rows { counts[row.sentence] += 1 }
    let present = counts.indices.filter { counts[$0] > 0 }
    return try batch(
      present.map { (counts[$0], sourcePages[$0], sourceLengths[$0]) }, pageSize: Self.memoryPage)
  }

  private func batch(
    _ requests: [(queries: Int, pages: [Int], length: Int)], pageSize: Int
  ) throws(AttentionPlan.Failure) -> AttentionBatch {
    do {
      return try AttentionBatch(
        queries: try RaggedIndex(lengths: requests.map(\.queries)),
        pages: try PageTable(
          requests: requests.map { ($0.pages, $0.length) }, pageSize: pageSize))
    } catch {
      // Slots and lengths are this type's own; a batch beyond 32 bits is all that is left.
      throw .tooLarge("translation batch")
    }
  }
}

extension DecoderState.Failure: CustomStringConvertible {
  var description: String {
    switch self {
    case .attention(let failure): failure.description
    case .differentiable(let failure): failure.description
    case .cache(let failure): failure.description
    case .batch(let text): text
    }
  }
}
