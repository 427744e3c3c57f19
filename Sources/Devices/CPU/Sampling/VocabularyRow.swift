internal import CMicrokernels

/// Numbers of a row, all of them or some gathered from it, in the order of their positions.
///
/// - Invariant: `values` addresses `count` floats and `maxima`, where there is one, the largest of
///   each span of them, for as long as the row's memory lives.
struct VocabularyRow {
  var values: UnsafePointer<Float>
  /// The spans' largest elements; `nil` for short lists.
  var maxima: UnsafePointer<Float>?
  var count: Int

  /// The number and the sum of some elements.
  struct Measure {
    var count = 0
    var sum = 0.0

    static func + (a: Measure, b: Measure) -> Measure {
      Measure(count: a.count + b.count, sum: a.sum + b.sum)
    }
  }

  /// The number and the sum of the elements of at least `threshold`.
  func measure(atLeast threshold: Float, _ kernels: swa_sampling_kernels) -> Measure {
    var measure = Measure()
    measure.count = kernels.above?(values, maxima, count, threshold, &measure.sum) ?? 0
    return measure
  }
}

/// Where the order of a row (larger first, then lower positions) ends: the last element that stays.
struct Cut {
  var value: Float
  var position: Int

  /// Keeps everything but NaN.
  static let nothing = Cut(value: -.infinity, position: .max)

  func keeps(_ value: Float, at position: Int) -> Bool {
    value > self.value || value == self.value && position <= self.position
  }
}

/// How much of a row's order is kept.
enum Goal {
  /// So many elements.
  case count(Int)
  /// As few as sum to at least this.
  case sum(Double)

  func isReached(by measure: VocabularyRow.Measure) -> Bool {
    switch self {
    case .count(let goal): measure.count >= goal
    case .sum(let goal): measure.sum >= goal
    }
  }
}

/// A float's place among all floats: neighbours differ by 1, and both zeros have 0.
struct FloatRank: Comparable {
  var rank: Int32

  init(rank: Int32) { self.rank = rank }

  init(_ value: Float) {
    let magnitude = Int32(bitPattern: value.magnitude.bitPattern)
    rank = value.sign == .minus ? -magnitude : magnitude
  }

  var value: Float {
    let magnitude = Float(bitPattern: rank.magnitude)
    return rank < 0 ? -magnitude : magnitude
  }

  static func < (a: FloatRank, b: FloatRank) -> Bool { a.rank < b.rank }
}
