import Attention
import LanguageModels
import Tokenizers

// A step is asked for and then finished. Where its tokens are drawn on the device, the one after it is asked for
// in between: it is planned while the device computes, and reads tokens that nobody here has seen yet.
extension EngineLoop {
  /// A step that has been asked for.
  struct Flight {
    var scheduled: [EngineSequence] = []
    /// What each of them brings, its guesses not among them.
    var rows: [Range<Int>] = []
    /// What is drawn where the logits are, in the order of the step's draws.
    var drawn: [Output] = []
    /// The rows whose logits are wanted here.
    var outputs: [Output] = []
  }

  /// Asks for a step, finishes the one that is in flight, and finishes the new one too unless it may stay in
  /// flight.
  func step() {
    let start = ContinuousClock.now
    let modelBefore = statistics.modelTime
    let last = flight
    flight = nil
    let next = launch()
    if let last {
      // What it has drawn is told while the next step is computed.
      if next != nil { statistics.stepsAhead += 1 }
      finish(last)
    }
    if let next {
      if canWait(next) {
        for (place, output) in next.drawn.enumerated() where output.sequence.finish == nil {
          output.sequence.unseen = place
        }
        flight = next
      } else {
        finish(next)
      }
    }
    removeEnded()
    statistics.hostTime += ContinuousClock.now - start - (statistics.modelTime - modelBefore)
  }

  /// Whether the step after can be asked for before this one's tokens are known: they are where it
  /// reads them, and nothing else is wanted of this one.
  private func canWait(_ flight: Flight) -> Bool {
    guard case .off = options.speculation, runner.carriesTokens else { return false }
    return flight.outputs.isEmpty && !flight.drawn.isEmpty
      && flight.scheduled.allSatisfy { !$0.owner.isEmbedding }
  }

  /// Schedules a step and asks for it; nil where there is nothing to do, or it failed.
  private func launch() -> Flight? {
    var flight = Flight()
    do {
      var budget = schedule()
      try speculate(&budget)
      var scheduled = running.filter { $0.scheduled > 0 }
      guard !scheduled.isEmpty else { return nil }
      for sequence in scheduled { sequence.node = -1 }
      // Rows of branching guesses come last.
      if options.composes {
        scheduled = scheduled.filter(\.draft.isChain) + scheduled.filter { !$0.draft.isChain }
      }
      var first = 0
      flight.rows = scheduled.map { sequence in
        defer { first += sequence.scheduled + sequence.draft.count }
        return first..<first + sequence.scheduled
      }
      flight.scheduled = scheduled
      for output in outputs(of: scheduled) {
        if isDrawnOnDevice(output) {
          flight.drawn.append(output)
        } else {
          flight.outputs.append(output)
        }
      }
      var step = try makeStep(scheduled)
      step.draws = flight.drawn.map(\.draw)
      let beforeModel = ContinuousClock.now
      try runner.run(step)
      statistics.modelTime += ContinuousClock.now - beforeModel
      statistics.steps += 1
      statistics.stepTokens += step.tokens.count
      for sequence in scheduled { sequence.computed += sequence.scheduled }
      for sequence in scheduled { sequence.scheduled = 0 }
      return flight
    } catch {
      fail(flight, error)
      return nil
    }
  }

  /// Takes what a step has drawn, draws the rest, and tells it.
  private func finish(_ flight: Flight) {
    do {
      try followDrafter(flight.scheduled)
      try sample(flight.outputs)
      try pool(flight.scheduled, flight.rows)
    } catch { fail(flight, error) }
    // Of one sequence the processor's draws come first: those before which it may not end.
    do { try takeDrawn(flight.drawn) } catch { fail(flight, error) }
    for sequence in flight.scheduled {
      // The draft model may have gone on after a guess that was rejected.
      sequence.draftComputed = min(sequence.draftComputed, sequence.computed)
      sequence.draft = SequenceDraft()
      // Ends are told when pages are given back.
      guard sequence.finish == nil else { continue }
      shareComputedPages(of: sequence)
      // `removeEnded` tells the ends.
      if sequence.finish == nil { tell(sequence) }
    }
  }

  /// Ends the sequences of a step that failed.
  private func fail(_ flight: Flight, _ error: any Error) {
    let all = running.filter { $0.scheduled > 0 } + flight.scheduled
    for sequence in all + (flight.drawn + flight.outputs).map(\.sequence) {
      sequence.scheduled = 0
      sequence.draft = SequenceDraft()
      end(sequence, .failed("\(error)"))
    }
  }

  private func makeStep(_ sequences: [EngineSequence]) throws -> ModelStep {
    var tokens: [TokenID] = []
    var plain = PageList(pageSize: options.pageSize)
    var branching = PageList(pageSize: options.pageSize)
    var trees: [SpeculationTree] = []
    var carried: [CarriedToken] = []
    for sequence in sequences {
      let end = sequence.computed + sequence.scheduled
      tokens += sequence.tokens[sequence.computed..<min(end, sequence.tokens.count)]
      if let draw = sequence.unseen, end > sequence.tokens.count {
        carried.append(CarriedToken(row: tokens.count, draw: draw))
        tokens.append(0)
      }
      tokens += sequence.draft.tokens
      let rows = sequence.scheduled + sequence.draft.count
      let length = end + sequence.draft.count - sequence.dropped
      if sequence.draft.isChain {
        plain.append(sequence.pages, rows: rows, length: length)
      } else {
        branching.append(sequence.pages, rows: rows, length: length)
        trees.append(
          try SpeculationTree(
            parents: Array(-1..<sequence.scheduled - 1)
              + sequence.draft.parents.map { $0 + sequence.scheduled }))
      }
    }
    var step = ModelStep(tokens: tokens, batch: try plain.batch())
    step.carried = carried
    if !trees.isEmpty { step.trees = try SpeculationBatch(trees: trees, pages: branching.table()) }
    return step
  }
}
