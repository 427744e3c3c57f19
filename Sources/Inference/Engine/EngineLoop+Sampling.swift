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
  }

  /// The rows whose logits are wanted: those to draw from, then those of prompts.
  func outputs(of scheduled: [EngineSequence]) -> [Output] {
    var draws: [Output] = []
    var prompts: [Output] = []
    var first = 0
    for sequence in scheduled {
      let rows = first..<first + sequence.scheduled
      first = rows.upperBound
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
      guard sequence.computed + sequence.scheduled == sequence.tokens.count else { continue }
      draws.append(Output(sequence: sequence, row: rows.upperBound - 1))
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

  /// Draws a token for every output that asks for one.
  func sample(_ outputs: [Output]) throws {
    try runner.logits(of: outputs.map(\.row)) { places, logits in
      let block = outputs[places]
      let draws = block.prefix { $0.promptToken == nil }
      var reports = [LogitReport?](repeating: nil, count: block.count)
      for (i, output) in block.enumerated() {
        let request = output.sequence.owner.request
        let row = logits.row(i)
        if let token = output.promptToken {
          report(output.sequence.owner, promptToken: token, row, logits.columns)
          continue
        }
        if let top = request.logprobs {
          reports[i] = LogitReport(row, count: logits.columns, top: top)
        }
        adjust(row, for: output.sequence)
      }
      let tokens = try device.sampleFromLogits(
        logits.rows(0..<draws.count),
        temperatures: draws.map(\.sequence.owner.request.sampling.temperature),
        filters: draws.map(\.sequence.owner.request.sampling.filter),
        random: draws.map {
          .init(seed: $0.sequence.seed, counter: UInt64($0.sequence.tokens.count))
        })
      for (i, output) in draws.enumerated() {
        take(tokens[i].map { TokenID($0) }, reports[i], for: output.sequence)
      }
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

  /// Applies bias, penalties and the ban on early ends to a row of logits.
  private func adjust(_ row: UnsafeMutablePointer<Float>, for sequence: EngineSequence) {
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
  }

  /// Appends a drawn token, or ends the sequence.
  private func take(_ token: TokenID?, _ report: LogitReport?, for sequence: EngineSequence) {
    let owner = sequence.owner
    guard sequence.finish == nil else { return }
    if owner.cancelled.contains(sequence.index) { return end(sequence, .cancelled) }
    guard let token else {
      return end(
        sequence,
        .failed("no logit at position \(sequence.tokens.count) is a number above -infinity"))
    }
    if owner.endTokens.contains(token), sequence.generated >= owner.request.minTokens {
      return end(sequence, .stop)
    }
    sequence.tokens.append(token)
    let sampling = owner.request.sampling
    if sampling.presencePenalty != 0 || sampling.frequencyPenalty != 0
      || sampling.repetitionPenalty != 1
    {
      sequence.counts[token, default: 0] += 1
    }
    statistics.generationTokens += 1
    sequence.news.append(report?.output(token) ?? TokenOutput(id: token))
    // The last token needs no place in the cache.
    if sequence.generated == owner.request.maxTokens || sequence.tokens.count > limits.context {
      end(sequence, .length)
    }
  }

  /// Adds the hidden vectors of embeddings' rows, and ends those that are complete.
  func pool(_ scheduled: [EngineSequence]) throws {
    var first = 0
    for sequence in scheduled {
      let rows = first..<first + sequence.scheduled
      first = rows.upperBound
      guard sequence.owner.isEmbedding else { continue }
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
