import Glibc

/// BLEU (Papineni et al., ACL 2002), equal to sacreBLEU's.
public struct BLEU: Sendable, Hashable {
  /// How text is cut into words.
  public var tokenization = BLEUTokenization.mteval13a
  /// What takes the place of a count of 0.
  public var smoothing = Smoothing.exponential
  /// Whether text is lowercased first.
  public var lowercase = false
  /// Whether only orders that the text has n-grams of count, as for single sentences.
  public var usesEffectiveOrder = false
  /// The longest n-grams.
  public var order = 4

  /// What takes the place of a count of 0 (Chen and Cherry, WMT 2014).
  public enum Smoothing: Sendable, Hashable {
    /// Nothing: the score is 0.
    case none
    /// A small number.
    case floor(Double)
    /// This is added to all counts above order 1.
    case add(Double)
    /// Half of the one before: mteval's.
    case exponential
  }

  /// WMT's settings: 13a, exponential smoothing, case-sensitive, order 4.
  public init() {}

  /// A score and what it is made of.
  public struct Score: Sendable, Hashable {
    /// BLEU, 0 to 100.
    public var value: Double
    /// Precisions of the orders, 0 to 100.
    public var precisions: [Double]
    /// The brevity penalty.
    public var brevityPenalty: Double
    /// Words of the translations.
    public var length: Int
    /// Words of the references, the closest in length of each segment's.
    public var referenceLength: Int
  }

  /// Matches and n-grams, which add up over segments.
  struct Statistics: Hashable {
    var length = 0
    var referenceLength = 0
    var correct: [Int]
    var total: [Int]

    init(order: Int) {
      correct = [Int](repeating: 0, count: order)
      total = correct
    }
  }

  /// The score of a text: its segments, and each segment's references.
  ///
  /// - Precondition: As many lists of references as segments, each with at least one.
  public func score(_ segments: [String], references: [[String]]) -> Score {
    precondition(segments.count == references.count, "BLEU: segments and references differ")
    var sum = Statistics(order: order)
    for (segment, references) in zip(segments, references) {
      add(segment, references, to: &sum)
    }
    return score(sum)
  }

  /// The score of a text with one reference for each segment.
  public func score(_ segments: [String], references: [String]) -> Score {
    score(segments, references: references.map { [$0] })
  }

  private func words(_ text: String) -> [String] {
    tokenization.words(lowercase ? text.lowercased() : text)
  }

  private func counts(_ words: [String]) -> [ArraySlice<String>: Int] {
    var counts: [ArraySlice<String>: Int] = [:]
    for n in 1...order where n <= words.count {
      for first in 0...words.count - n { counts[words[first..<first + n], default: 0] += 1 }
    }
    return counts
  }

  private func add(_ segment: String, _ references: [String], to sum: inout Statistics) {
    let found = words(segment)
    var most: [ArraySlice<String>: Int] = [:]
    var closest: (distance: Int, length: Int)?
    for reference in references {
      let expected = words(reference)
      most.merge(counts(expected)) { max($0, $1) }
      let candidate = (distance: abs(found.count - expected.count), length: expected.count)
      if closest.map({ candidate < $0 }) ?? true { closest = candidate }
    }
    sum.length += found.count
    sum.referenceLength += closest?.length ?? 0
    for (gram, count) in counts(found) {
      sum.total[gram.count - 1] += count
      sum.correct[gram.count - 1] += min(count, most[gram] ?? 0)
    }
  }

  private func score(_ sum: Statistics) -> Score {
    var penalty = 1.0
    if sum.length < sum.referenceLength {
      penalty =
        sum.length > 0 ? exp(1 - Double(sum.referenceLength) / Double(sum.length)) : 0
    }
    var score = Score(
      value: 0, precisions: [Double](repeating: 0, count: order), brevityPenalty: penalty,
      length: sum.length, referenceLength: sum.referenceLength)
    guard sum.correct.contains(where: { $0 > 0 }) else { return score }
    var (halves, effective) = (1.0, order)
    for n in 0..<order {
      var (correct, total) = (Double(sum.correct[n]), Double(sum.total[n]))
      if case .add(let k) = smoothing, n > 0 { (correct, total) = (correct + k, total + k) }
      if total == 0 { break }
      if usesEffectiveOrder { effective = n + 1 }
      if correct > 0 {
        score.precisions[n] = 100 * correct / total
      } else if case .exponential = smoothing {
        halves *= 2
        score.precisions[n] = 100 / (halves * total)
      } else if case .floor(let value) = smoothing {
        score.precisions[n] = 100 * value / total
      }
    }
    let logarithms = score.precisions.prefix(effective).map { $0 == 0 ? -9_999_999_999 : log($0) }
    score.value = penalty * exp(logarithms.reduce(0, +) / Double(effective))
    return score
  }
}
