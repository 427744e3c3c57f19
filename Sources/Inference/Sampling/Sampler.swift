import Glibc
public import Tokenizers

/// Draws tokens from logits.
public struct Sampler: Sendable {
  /// How tokens are chosen.
  public let parameters: SamplingParameters

  private let random: CounterRandom

  /// A sampler with valid parameters.
  public init(_ parameters: SamplingParameters) throws(SamplingParameters.Invalid) {
    try parameters.validate()
    self.parameters = parameters
    random = CounterRandom(seed: parameters.seed)
  }

  /// A token that may follow, with its unnormalised probability.
  struct Candidate: Sendable {
    var id: TokenID
    var weight: Double
  }

  /// The token at `position` of its sequence, drawn from `logits`, one for every token id.
  ///
  /// A NaN logit is never chosen. `nil` where no logit is a number above −∞.
  public func sample(_ logits: UnsafeBufferPointer<Float>, position: Int) -> TokenID? {
    guard let best = Self.argmax(logits) else { return nil }
    // One of several infinite logits is as good as another; weights relative to ∞ do not exist.
    guard parameters.temperature > 0, logits[best].isFinite else { return TokenID(best) }
    let kept = distribution(logits, maximum: logits[best])
    let total = kept.reduce(0) { $0 + $1.weight }
    var rest = random.uniform(UInt64(truncatingIfNeeded: position)) * total
    for candidate in kept {
      rest -= candidate.weight
      if rest < 0 { return candidate.id }
    }
    return kept.last?.id
  }

  /// The index of the largest logit, the lowest among equals.
  static func argmax(_ logits: UnsafeBufferPointer<Float>) -> Int? {
    var best: Int?
    var largest = -Float.infinity
    for i in logits.indices where logits[i] > largest {
      largest = logits[i]
      best = i
    }
    return best
  }

  /// The tokens that survive top-k, top-p and min-p, most probable first where that was needed.
  func distribution(_ logits: UnsafeBufferPointer<Float>, maximum: Float) -> [Candidate] {
    let scale = 1 / Double(parameters.temperature)
    func weight(_ i: Int) -> Double { exp((Double(logits[i]) - Double(maximum)) * scale) }

    let all = logits.indices.compactMap { i -> Candidate? in
      let weight = weight(i)
      return weight > 0 ? Candidate(id: TokenID(i), weight: weight) : nil
    }
    var kept = all
    if parameters.topK > 0, parameters.topK < all.count {
      kept = Self.mostProbable(all) { count, _ in count >= parameters.topK }
      kept.removeLast(kept.count - parameters.topK)
    }
    if parameters.topP < 1 {
      let goal = kept.reduce(0) { $0 + $1.weight } * Double(parameters.topP)
      kept = Self.mostProbable(kept) { _, mass in mass >= goal }
      var mass = 0.0
      if let last = kept.firstIndex(where: {
        mass += $0.weight
        return mass >= goal
      }) {
        kept.removeLast(kept.count - last - 1)
      }
    }
    if parameters.minP > 0 { kept.removeAll { $0.weight < Double(parameters.minP) } }
    return kept
  }

  /// A sorted prefix of `candidates`, the most probable first, long enough for `enough` to hold of
  /// its count and mass, or all.
  ///
  /// Sorting a whole vocabulary costs more than a small model's step; what matters is nearly always
  /// within a few powers of e of the top. The threshold falls until the prefix is long enough.
  private static func mostProbable(
    _ candidates: [Candidate], enough: (_ count: Int, _ mass: Double) -> Bool
  ) -> [Candidate] {
    func sorted(_ some: [Candidate]) -> [Candidate] {
      some.sorted { ($0.weight, $1.id) > ($1.weight, $0.id) }
    }
    var threshold = 1e-2
    while threshold > 1e-12 {
      let top = candidates.filter { $0.weight >= threshold }
      if top.count < candidates.count, enough(top.count, top.reduce(0) { $0 + $1.weight }) {
        return sorted(top)
      }
      threshold *= 1e-2
    }
    return sorted(candidates)
  }
}
