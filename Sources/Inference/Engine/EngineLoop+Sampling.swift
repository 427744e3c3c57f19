import Devices
import LanguageModels
import Tensors
import Tokenizers

extension EngineLoop {
  /// A row of a step whose logits are wanted.
  struct Output {
    let sequence: EngineSequence
    let row: Int
    /// The prompt's token whose probability is wanted, or `nil` where a token is to be drawn.
    var promptToken: Int?
    /// The guess after which a token is to be drawn; −1 stands for the last token.
    var node = -1

    /// The token's position in the sequence.
    var position: Int { sequence.length + sequence.draft.depth(of: node) }

    /// The draw, a function of the request's parameters and the position.
    var draw: TokenDraw {
      sequence.owner.request.sampling.draw(row: row, seed: sequence.seed, position: position)
    }
  }

  /// Whether a token can be drawn where the logits are: nobody wants to see or change these.
  ///
  /// Depends on the request and the position alone, and so do the request's tokens.
  func isDrawnOnDevice(_ output: Output) -> Bool {
    let owner = output.sequence.owner
    guard runner.drawsTokens, output.promptToken == nil, owner.request.logprobs == nil,
      output.sequence.constraint == nil, owner.request.sampling.leavesLogits
    else { return false }
    return output.position - owner.request.prompt.count >= owner.request.minTokens
      || owner.endTokens.isEmpty
  }

  /// The rows whose logits are wanted: those to draw from, then those of prompts.
  func outputs(of scheduled: [EngineSequence]) -> [Output] {
    var draws: [Output] = []
    var prompts: [Output] = []
    var first = 0
    for sequence in scheduled {
      let rows = first..<first + sequence.scheduled
      first = rows.upperBound + sequence.draft.count
      let owner = sequence.owner
      if owner.isEmbedding { continue }
      if owner.request.promptLogprobs, sequence.generated == 0, sequence.index == 0 {
        for row in rows {
          let token = sequence.computed + row - rows.lowerBound + 1
          guard token < owner.request.prompt.count else { break }
          // After a preemption some are known already.
          if token > owner.promptOutputs.count - 1 || owner.promptOutputs.isEmpty {
            prompts.append(Output(sequence: sequence, row: row, promptToken: token))
          }
        }
      }
      guard sequence.computed + sequence.scheduled == sequence.length else { continue }
      draws.append(Output(sequence: sequence, row: rows.upperBound - 1))
      for node in 0..<sequence.draft.count {
        draws.append(Output(sequence: sequence, row: rows.upperBound + node, node: node))
      }
      for fork in fork(sequence) {
        draws.append(Output(sequence: fork, row: rows.upperBound - 1))
      }
    }
    return draws + prompts
  }

  /// The sequences that follow the same prompt, their pages those of the first one.
  private func fork(_ sequence: EngineSequence) -> [EngineSequence] {
    guard sequence.forks > 0 else { return [] }
    let forks = (1...sequence.forks).map { i in
      let fork = EngineSequence(sequence.owner, index: sequence.index + i)
      fork.computed = sequence.computed + sequence.scheduled
      fork.draftComputed = sequence.draftComputed
      fork.dropped = sequence.dropped
      fork.pages = sequence.pages
      for page in fork.pages { pool.retain(page) }
      return fork
    }
    sequence.forks = 0
    if let place = running.firstIndex(where: { $0 === sequence }) {
      running.insert(contentsOf: forks, at: place + 1)
    }
    return forks
  }

  /// Takes the tokens that the device has drawn for some outputs, the oldest that nobody has taken.
  func takeDrawn(_ outputs: [Output]) throws {
    if outputs.isEmpty { return }
    let start = ContinuousClock.now
    let tokens = try runner.drawnTokens()
    statistics.modelTime += ContinuousClock.now - start
    for (output, token) in zip(outputs, tokens) where output.sequence.finish == nil {
      output.sequence.unseen = nil
      // What follows a guess counts only where the guess was accepted.
      if output.node < 0 || output.node == output.sequence.node {
        take(token, nil, for: output.sequence)
      }
    }
  }

  /// Draws a token for every output that asks for one, and reports prompts' tokens.
  func sample(_ outputs: [Output]) throws {
    if outputs.isEmpty { return }
    var start = ContinuousClock.now
    try runner.logits(of: outputs.map(\.row)) { places, logits in
      statistics.modelTime += ContinuousClock.now - start
      defer { start = .now }
      let block = Array(outputs[places])
      let drawCount = block.prefix { $0.promptToken == nil }.count
      for i in drawCount..<block.count {
        guard let token = block[i].promptToken else { continue }
        report(block[i].sequence.owner, promptToken: token, logits.row(i), logits.columns)
      }
      // Without guesses all rows are drawn from together; a guess's row only once it is accepted.
      if block[..<drawCount].allSatisfy({ $0.sequence.draft.isEmpty }) {
        try draw(block[..<drawCount], logits)
      } else {
        for i in 0..<drawCount
        where block[i].sequence.finish == nil && block[i].sequence.node == block[i].node {
          try draw(block[i...i], logits)
        }
      }
    }
  }

  /// Draws a token for each of some rows.
  private func draw(_ outputs: ArraySlice<Output>, _ logits: MatrixView) throws {
    if outputs.isEmpty { return }
    var reports = [LogitReport?](repeating: nil, count: outputs.count)
    for (i, output) in outputs.enumerated() {
      let row = logits.row(outputs.startIndex + i)
      if let top = output.sequence.owner.request.logprobs {
        reports[i] = LogitReport(row, count: logits.columns, top: top)
      }
      adjust(row, logits.columns, for: output.sequence)
    }
    let samplings = outputs.map(\.sequence.owner.request.sampling)
    let tokens = try device.sampleFromLogits(
      logits.rows(outputs.startIndex..<outputs.endIndex),
      temperatures: samplings.map(\.temperature), filters: samplings.map(\.filter),
      random: outputs.map {
        .init(seed: $0.sequence.seed, counter: UInt64($0.sequence.tokens.count))
      })
    for (i, output) in outputs.enumerated() {
      take(tokens[i].map { TokenID($0) }, reports[i], for: output.sequence)
    }
  }

  private func report(
    _ owner: EngineRequest, promptToken: Int, _ row: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    if owner.promptOutputs.isEmpty {
      owner.promptOutputs = [TokenOutput(id: owner.request.prompt[0])]
    }
    let report = LogitReport(row, count: count, top: owner.request.logprobs ?? 0)
    owner.promptOutputs.append(report.output(owner.request.prompt[promptToken]))
  }

  /// Applies bias, penalties, the ban on early ends and the constraint to a row of logits.
  private func adjust(
    _ row: UnsafeMutablePointer<Float>, _ count: Int, for sequence: EngineSequence
  ) {
    let owner = sequence.owner
    let sampling = owner.request.sampling
    for (token, bias) in sampling.logitBias { row[Int(token)] += bias }
    if sampling.repetitionPenalty != 1 {
      let penalty = sampling.repetitionPenalty
      func penalize(_ token: TokenID) {
        let logit = row[Int(token)]
        row[Int(token)] = logit > 0 ? logit / penalty : logit * penalty
      }
      for token in owner.promptTokens { penalize(token) }
      for token in sequence.counts.keys where !owner.promptTokens.contains(token) {
        penalize(token)
      }
    }
    if sampling.presencePenalty != 0 || sampling.frequencyPenalty != 0 {
      for (token, count) in sequence.counts {
        row[Int(token)] -= sampling.presencePenalty + sampling.frequencyPenalty * Float(count)
      }
    }
    if sequence.generated < owner.request.minTokens {
      for token in owner.endTokens where Int(token) < limits.vocabularySize && token >= 0 {
        row[Int(token)] = -.infinity
      }
    }
    if sequence.constraint != nil {
      do throws(ConstraintError) {
        try sequence.constraint?.fillMask(&mask)
      } catch {
        return end(sequence, .failed(error.description))
      }
      var logits = UnsafeMutableBufferPointer(start: row, count: count).mutableSpan
      mask.apply(to: &logits)
    }
  }

  /// Appends a drawn token, or ends the sequence.
  private func take(_ token: TokenID?, _ report: LogitReport?, for sequence: EngineSequence) {
    let owner = sequence.owner
    guard sequence.finish == nil else { return }
    if owner.cancelled.contains(sequence.index) { return end(sequence, .cancelled) }
    guard let token else {
      // A text that is complete and may not go on ends without a token for it.
      if sequence.constraint?.isComplete == true { return end(sequence, .stop) }
      return end(
        sequence,
        .failed("no logit at position \(sequence.tokens.count) is a number above -infinity"))
    }
    if owner.endTokens.contains(token), sequence.generated >= owner.request.minTokens {
      return end(sequence, .stop)
    }
    if sequence.constraint?.advance(token) == false {
      return end(sequence, .failed("the constraint refuses token \(token), which it allowed"))
    }
    let guess = sequence.draft.child(of: sequence.node, token)
    if let guess {
      statistics.acceptedTokens += 1
      // Its keys are at its place where only accepted guesses come before it; computed again if not.
      if sequence.computed == sequence.tokens.count, guess == sequence.node + 1 {
        sequence.computed += 1
      }
    }
    sequence.node = guess ?? sequence.draft.count
    sequence.tokens.append(token)
    let sampling = owner.request.sampling
    if sampling.presencePenalty != 0 || sampling.frequencyPenalty != 0
      || sampling.repetitionPenalty != 1
    {
      sequence.counts[token, default: 0] += 1
    }
    statistics.generationTokens += 1
    sequence.news.append(report?.output(token) ?? TokenOutput(id: token))
    if isFull(sequence, sequence.tokens.count) { end(sequence, .length) }
  }

  /// Adds the hidden vectors of embeddings' rows, and ends those that are complete.
  func pool(_ scheduled: [EngineSequence], _ rows: [Range<Int>]) throws {
    for (sequence, rows) in zip(scheduled, rows) where sequence.owner.isEmbedding {
      let hidden = try runner.hidden(rows)
      if sequence.pooled.isEmpty {
        sequence.pooled = [Float](repeating: 0, count: hidden.columns)
      }
      for row in 0..<hidden.rows {
        for column in 0..<hidden.columns { sequence.pooled[column] += hidden.row(row)[column] }
      }
      guard sequence.computed == sequence.tokens.count else { continue }
      // The mean's length does not matter: the result has length 1.
      let norm = sequence.pooled.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
      if norm > 0 { sequence.pooled = sequence.pooled.map { Float(Double($0) / norm) } }
      end(sequence, .stop)
    }
  }
}
