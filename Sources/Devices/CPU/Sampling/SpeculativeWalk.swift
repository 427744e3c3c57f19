internal import CMicrokernels

/// The walk down one request's draft tree.
struct SpeculativeWalk {
  let sampler: RowSampler
  let columns: Int
  let choice: DraftChoice
  let random: CounterRandom.Point
  private var draws: UInt32 = 0

  init(sampler: RowSampler, columns: Int, choice: DraftChoice, random: CounterRandom.Point) {
    (self.sampler, self.columns, self.choice) = (sampler, columns, choice)
    self.random = random
  }

  /// A row of probabilities that sum to `total`.
  private struct Distribution {
    var weights: UnsafePointer<Float>
    var total: Double

    func probability(_ token: Int) -> Double {
      let weight = weights[token]
      return weight > 0 ? Double(weight) / total : 0
    }
  }

  /// Accepts nodes from the root down and draws the token after the last one.
  mutating func run(
    _ tree: DraftTree, target: (_ node: Int) -> UnsafePointer<Float>,
    draft: (_ node: Int) -> UnsafePointer<Float>?
  ) -> SpeculativeSample {
    var sample = SpeculativeSample(accepted: [], tokens: [])
    var node = 0
    while true {
      var rest = distribution(target(node))
      let children = tree.children(of: node)
      var proposal = children.isEmpty ? nil : draft(node).map(distribution)
      var next: Int?
      for child in children {
        let token = tree.tokens[child]
        if uniform() * (proposal?.probability(token) ?? 1) < rest.probability(token) {
          next = child
          break
        }
        rest = excess(rest, proposal, without: token)
        if choice == .distinct { proposal = proposal.map { removing(token, from: $0) } }
      }
      guard let accepted = next else {
        // Of all but equal distributions rounding may leave nothing: then the target decides.
        if let token = draw(rest) ?? draw(distribution(target(node))) {
          sample.tokens.append(token)
        }
        return sample
      }
      sample.accepted.append(accepted)
      sample.tokens.append(tree.tokens[accepted])
      node = accepted
    }
  }

  private mutating func uniform() -> Double {
    defer { draws += 1 }
    return random.uniform(draw: draws)
  }

  private mutating func draw(_ distribution: Distribution) -> Int? {
    let row = VocabularyRow(values: distribution.weights, maxima: nil, count: columns)
    return sampler.draw(row, total: distribution.total, uniform())
  }

  private func distribution(_ weights: UnsafePointer<Float>) -> Distribution {
    let row = VocabularyRow(values: weights, maxima: nil, count: columns)
    return Distribution(
      weights: weights, total: row.measure(atLeast: .leastNonzeroMagnitude, sampler.kernels).sum)
  }

  /// What the target still asks for once a proposal was rejected.
  private func excess(
    _ target: Distribution, _ proposal: Distribution?, without token: Int
  ) -> Distribution {
    guard let proposal else { return removing(token, from: target, into: sampler.weights) }
    guard target.total > 0, proposal.total > 0 else { return target }
    let total =
      sampler.kernels.excess?(
        target.weights, Float(1 / target.total), proposal.weights, Float(1 / proposal.total),
        columns, sampler.weights) ?? 0
    return Distribution(weights: UnsafePointer(sampler.weights), total: total)
  }

  private func removing(_ token: Int, from proposal: Distribution) -> Distribution {
    removing(token, from: proposal, into: sampler.list)
  }

  private func removing(
    _ token: Int, from distribution: Distribution, into memory: UnsafeMutablePointer<Float>
  ) -> Distribution {
    if distribution.weights != UnsafePointer(memory) {
      memory.update(from: distribution.weights, count: columns)
    }
    memory[token] = 0
    return self.distribution(UnsafePointer(memory))
  }
}
