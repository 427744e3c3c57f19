import Glibc

/// How hypotheses are searched for (§6.1).
public struct BeamSearch: Sendable, Hashable {
  /// Hypotheses kept at a time; 1 is greedy.
  public var beam = 4
  /// α of the length penalty ((5 + length) / 6)^α (Wu et al., arXiv 1609.08144, equation 14).
  public var alpha: Float = 0.6
  /// The most tokens beyond the source's.
  public var extraLength = 50
  /// The most tokens whatever the source.
  public var maximumLength = 512
  /// How many translations of a sentence are returned, at most `beam`.
  public var best = 1

  /// The paper's values.
  public init() {}

  /// One hypothesis at a time.
  public static let greedy: BeamSearch = {
    var search = BeamSearch()
    search.beam = 1
    return search
  }()

  /// Of a hypothesis of `count` tokens that ends with the next one: log p / length penalty.
  func score(_ logProbability: Float, endingAfter count: Int) -> Float {
    logProbability / Self.power((5 + Float(count + 1)) / 6, alpha)
  }

  private static func power(_ base: Float, _ exponent: Float) -> Float {
    exponent == 0 ? 1 : Float(pow(Double(base), Double(exponent)))
  }
}

/// The hypotheses of one sentence.
struct Beam {
  struct Hypothesis {
    var tokens: [Int32] = []
    var logProbability: Float = 0
    var slots: [Int] = []
  }

  let search: BeamSearch
  /// The most tokens of a translation, its end included.
  let limit: Int
  private(set) var alive = [Hypothesis()]
  private(set) var finished: [(score: Float, tokens: [Int32], logProbability: Float)] = []

  init(_ search: BeamSearch, sourceLength: Int) {
    self.search = search
    limit = max(1, min(sourceLength + search.extraLength, search.maximumLength))
  }

  var isDone: Bool { alive.isEmpty }

  /// Gives every living hypothesis a place for its next token.
  mutating func extendSlots(_ take: () -> Int?) -> Bool {
    for i in alive.indices {
      guard let slot = take() else { return false }
      alive[i].slots.append(slot)
    }
    return true
  }

  /// Goes on with the best followers of the living hypotheses.
  ///
  /// - Parameter followers: For every living hypothesis its most probable next tokens, best first.
  mutating func advance(_ followers: ArraySlice<[(token: Int, logProbability: Float)]>) {
    var candidates: [(parent: Int, token: Int32, logProbability: Float)] = []
    for (parent, row) in followers.enumerated() {
      for (token, logProbability) in row {
        candidates.append(
          (parent, Int32(token), alive[parent].logProbability + logProbability))
      }
    }
    // Of equals the earlier one is first, so that a search is the same everywhere.
    let order = candidates.indices.sorted {
      (-candidates[$0].logProbability, $0) < (-candidates[$1].logProbability, $1)
    }
    var next: [Hypothesis] = []
    for (rank, i) in order.enumerated() {
      let (parent, token, logProbability) = candidates[i]
      guard next.count < search.beam else { break }
      if token == SubwordVocabulary.end {
        // Only an end among the best `beam` candidates counts.
        if rank < search.beam { finish(alive[parent].tokens, logProbability) }
        continue
      }
      if token == SubwordVocabulary.start { continue }
      var hypothesis = alive[parent]
      hypothesis.tokens.append(token)
      hypothesis.logProbability = logProbability
      next.append(hypothesis)
    }
    if let length = next.first?.tokens.count, length >= limit {
      for hypothesis in next { finish(hypothesis.tokens, hypothesis.logProbability) }
      next = []
    }
    alive = isSettled(next) || !canImprove(next) ? [] : next
  }

  /// Whether enough hypotheses have ended and none alive, best first, would beat them by ending now.
  ///
  /// Where a model is sure, ends of bad hypotheses are among the best candidates early: their number
  /// alone must not end the search.
  private func isSettled(_ next: [Hypothesis]) -> Bool {
    guard finished.count >= search.beam, let best = next.first else { return next.isEmpty }
    let score = search.score(best.logProbability, endingAfter: best.tokens.count)
    return finished.contains { $0.score >= score }
  }

  /// Whether what comes of living hypotheses, best first, can be among the best that are wanted.
  ///
  /// Log-probabilities only fall, so a hypothesis scores at most what it would if it ended now or were
  /// as long as allowed at no cost.
  private func canImprove(_ next: [Hypothesis]) -> Bool {
    let wanted = max(search.best, 1)
    guard let best = next.first, finished.count >= wanted else { return true }
    let bound = max(
      search.score(best.logProbability, endingAfter: best.tokens.count),
      search.score(best.logProbability, endingAfter: limit))
    return bound > finished.map(\.score).sorted(by: >)[wanted - 1]
  }

  private mutating func finish(_ tokens: [Int32], _ logProbability: Float) {
    let score = search.score(logProbability, endingAfter: tokens.count)
    finished.append((score, tokens, logProbability))
  }

  /// The best translations, best first.
  var translations: [(tokens: [Int32], score: Float)] {
    let order = finished.indices.sorted {
      (-finished[$0].score, $0) < (-finished[$1].score, $1)
    }
    return order.prefix(max(search.best, 1)).map { (finished[$0].tokens, finished[$0].score) }
  }
}
