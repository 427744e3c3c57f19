/// Counts of values by buckets, as Prometheus wants them.
struct Histogram: Sendable {
  /// The buckets' upper bounds, ascending; one more bucket takes the rest.
  let bounds: [Double]
  private(set) var counts: [Int]
  private(set) var sum = 0.0

  init(_ bounds: [Double]) {
    self.bounds = bounds
    counts = Array(repeating: 0, count: bounds.count + 1)
  }

  var count: Int { counts.reduce(0, +) }

  /// Counts a value `weight` times.
  mutating func record(_ value: Double, times weight: Int = 1) {
    counts[bounds.firstIndex { value <= $0 } ?? bounds.count] += weight
    sum += value * Double(weight)
  }
}

extension Histogram {
  /// Seconds until the first token.
  static var firstToken: Histogram {
    Histogram([
      0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40,
      80, 160, 640,
    ])
  }
  /// Seconds between tokens.
  static var betweenTokens: Histogram {
    Histogram([
      0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75,
      1, 2.5, 5, 10,
    ])
  }
  /// Seconds of a whole request.
  static var request: Histogram {
    Histogram([
      0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480,
      960,
    ])
  }
  /// Numbers of tokens.
  static var tokens: Histogram {
    Histogram([
      1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100_000,
    ])
  }
  /// Small numbers.
  static var few: Histogram { Histogram([1, 2, 5, 10, 20, 50, 100]) }
}
