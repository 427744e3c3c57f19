import Attention
import Devices
import LanguageModels
import Tensors
import Tokenizers

// Guessing several tokens of a sequence and verifying them in one step. A guess is accepted where it
// is the token that is drawn at its place anyway, with the random number of its place: the tokens
// are those of a run without guesses, and so is their distribution. For guesses made without chance
// this accepts as often as rejection sampling (arXiv 2211.17192) does.
extension EngineLoop {
  /// The most guesses of a sequence in a step.
  var guesses: Int {
    switch options.speculation {
    case .off: 0
    case .promptLookup(let tokens), .draft(_, let tokens): tokens
    }
  }

  /// Guesses for the sequences that are about to draw a token, as far as rows and pages last.
  func speculate(_ budget: inout Int) throws {
    guard guesses > 0 else { return }
    var guessing: [(sequence: EngineSequence, count: Int)] = []
    for sequence in running where sequence.scheduled > 0 && !sequence.owner.isEmbedding {
      let isLast = sequence.computed + sequence.scheduled == sequence.tokens.count
      guard isLast, sequence.forks == 0, sequence.generated > 0, budget > 0 else { continue }
      // One token is drawn in any case.
      let most = min(
        guesses, budget, sequence.owner.request.maxTokens - sequence.generated - 1,
        limits.context - sequence.tokens.count)
      guard most > 0, hasRoom(for: sequence, more: most) else { continue }
      if drafter != nil {
        guessing.append((sequence, most))
        budget -= most
      } else {
        sequence.draft = SequenceDraft(
          lookup: sequence.tokens, most: most, branches: options.composes ? 3 : 1)
        budget -= sequence.draft.count
      }
    }
    if let drafter { try draft(guessing, drafter) }
    for sequence in running where !sequence.draft.isEmpty {
      statistics.draftTokens += sequence.draft.count
    }
  }

  /// Whether pages for some more tokens can be had without taking any from others.
  private func hasRoom(for sequence: EngineSequence, more: Int) -> Bool {
    let end = sequence.computed + sequence.scheduled + more
    let needed = (end + options.pageSize - 1) / options.pageSize - sequence.pages.count
    guard needed <= pool.availableCount else { return false }
    for _ in 0..<max(needed, 0) {
      guard let page = takeUnusedPage() else { return false }
      sequence.pages.append(page)
    }
    return true
  }

  /// The draft model's own tokens, one after another for all sequences together, drawn with the
  /// random numbers of their places.
  private func draft(
    _ guessing: [(sequence: EngineSequence, count: Int)], _ drafter: BatchRunner
  ) throws {
    let sequences = guessing.map(\.sequence)
    var paths = sequences.map { _ in [TokenID]() }
    let longest = guessing.map(\.count).max() ?? 0
    for round in 0..<longest {
      let active = sequences.indices.filter { guessing[$0].count > round }
      var tokens: [TokenID] = []
      var rows: [Int] = []
      var pages = PageList(pageSize: options.pageSize)
      for i in active {
        let sequence = sequences[i]
        let all = sequence.tokens + paths[i]
        tokens += all[sequence.draftComputed...]
        pages.append(sequence.pages, rows: all.count - sequence.draftComputed, length: all.count)
        sequence.draftComputed = all.count
        rows.append(tokens.count - 1)
      }
      let draws = zip(active, rows).map { i, row in
        let sampling = sequences[i].owner.request.sampling
        return TokenDraw(
          row: row, temperature: sampling.temperature, filter: sampling.filter,
          random: .init(
            seed: sequences[i].seed,
            counter: UInt64(sequences[i].tokens.count + paths[i].count)))
      }
      var step = ModelStep(tokens: tokens, batch: try pages.batch())
      if drafter.drawsTokens { step.draws = draws }
      try drafter.run(step)
      for (i, token) in zip(active, try drafter.drawnTokens()) { paths[i].append(token ?? 0) }
      if drafter.drawsTokens { continue }
      try drafter.logits(of: rows) { places, logits in
        let parts = draws[places]
        let drawn = try device.sampleFromLogits(
          logits, temperatures: parts.map(\.temperature), filters: parts.map(\.filter),
          random: parts.map(\.random))
        for (place, token) in zip(places, drawn) {
          paths[active[place]].append(token.map { TokenID($0) } ?? 0)
        }
      }
    }
    for (sequence, path) in zip(sequences, paths) {
      sequence.draft.add(path[...], most: path.count)
    }
  }

  /// Runs the draft model over the rows that the model has run over, so that pages hold both
  /// models' keys and values.
  func followDrafter(_ sequences: [EngineSequence]) throws {
    guard let drafter else { return }
    var tokens: [TokenID] = []
    var pages = PageList(pageSize: options.pageSize)
    for sequence in sequences {
      // A sequence that drafts catches up when it next does; it lags by a token or two.
      let end = sequence.computed
      guard end - sequence.draftComputed > 2 else { continue }
      tokens += sequence.tokens[sequence.draftComputed..<end]
      pages.append(sequence.pages, rows: end - sequence.draftComputed, length: end)
      sequence.draftComputed = end
    }
    guard !tokens.isEmpty else { return }
    try drafter.run(ModelStep(tokens: tokens, batch: pages.batch()))
  }
}

/// The page table of a step, sequence after sequence.
struct PageList {
  let pageSize: Int
  private(set) var rowOffsets = [0]
  private var offsets = [0]
  private var indices: [Int] = []
  private var lastLengths: [Int] = []

  init(pageSize: Int) { self.pageSize = pageSize }

  /// Adds a sequence whose `length` tokens are in pages, the last `rows` of them new.
  mutating func append(_ pages: [Int32], rows: Int, length: Int) {
    let count = (length + pageSize - 1) / pageSize
    for page in pages.prefix(count) { indices.append(Int(page)) }
    offsets.append(indices.count)
    rowOffsets.append((rowOffsets.last ?? 0) + rows)
    lastLengths.append(length - (count - 1) * pageSize)
  }

  /// The pages.
  func table() throws -> PageTable {
    try PageTable(
      offsets: offsets, indices: indices, lastPageLengths: lastLengths, pageSize: pageSize)
  }

  /// The sequences with their new rows.
  func batch() throws -> AttentionBatch {
    try AttentionBatch(offsets: rowOffsets, pages: table())
  }
}
