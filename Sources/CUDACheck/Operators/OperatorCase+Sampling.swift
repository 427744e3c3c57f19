import Devices
import Glibc
import Tensors

extension OperatorCase {
  /// Draws beside the processor's and beside the filtered distribution in Double.
  static func sampling(_ type: ElementType) -> OperatorCase {
    OperatorCase(name: "sampling-\(type.rawValue)", family: .sampling, type: type, limit: 1) {
      bench, operators, device in
      try max(
        unfiltered(type, bench, operators, device), frequencies(type, bench, operators))
    }
  }

  /// The share of draws without a filter that differ from the processor's, in hundredths.
  ///
  /// Both invert the same sums at the same number. Greedy draws, and rows without weight, differ
  /// nowhere.
  private static func unfiltered(
    _ type: ElementType, _ bench: Workbench, _ operators: CUDAOperators,
    _ device: CPUDevice
  ) throws -> Double {
    var noise = Noise(9)
    let (rows, columns) = (100, 2077)
    let x = Grid(bench, type, rows, columns) { row, column in
      switch row {
      case 0: -.infinity
      case 1: column % 7 == 3 ? .nan : noise.float()
      // The largest several times over.
      case 2...9: min(noise.float(), 0.5)
      default: noise.float() * 5
      }
    }
    let points = (0..<rows).map {
      CounterRandom.Point(seed: UInt64($0) << 40 | 7, counter: UInt64($0 * $0) << 20)
    }
    var worst = 0.0
    for temperatures in [(0..<rows).map { 0.5 + Float($0 % 5) / 4 }, [0], [1]] {
      let lists = Lists(bench)
      let draws = CUDAOperators.Draws(
        seeds: try lists(points.map(\.seed)), counters: try lists(points.map(\.counter)))
      let tokens = try lists([Int32](repeating: -2, count: rows))
      let found = lists.elements(Int32.self)
      try bench.run(
        operators.sampleFromLogits(
          x.matrix, temperatures: lists(temperatures), isPerRow: temperatures.count > 1, draws,
          into: tokens))
      let copy = x.floats()
      let expected = try device.sampleFromLogits(
        copy.view, temperatures: temperatures, random: points)
      let different = (0..<rows).filter { Int(found[$0]) != expected[$0] ?? -1 }.count
      worst = max(worst, Double(different) * (temperatures == [0] ? 100 : 1))
      withExtendedLifetime(copy) {}
    }
    return worst
  }

  /// A filter, and how many tokens of a distribution it keeps where the order is by index.
  private static let filters: [SamplingFilter] = [
    SamplingFilter(topK: 5), SamplingFilter(topK: 1), SamplingFilter(topP: 0.6),
    SamplingFilter(minP: 0.2), SamplingFilter(topK: 9, topP: 0.7),
    SamplingFilter(topK: 9, topP: 0.7, order: .joint),
    SamplingFilter(topK: 12, topP: 0.9, minP: 0.1), SamplingFilter(topP: 1e-6),
  ]

  /// Whether many draws have the filtered distribution: χ² over its tokens in units of its mean plus
  /// six deviations, infinite where a token is drawn that the filter excludes.
  private static func frequencies(
    _ type: ElementType, _ bench: Workbench, _ operators: CUDAOperators
  ) throws -> Double {
    let (rows, columns) = (400, 45)
    var worst = 0.0
    for (number, filter) in filters.enumerated() {
      // Weights that a type holds exactly, with many ties, in a scattered order.
      func weight(_ column: Int) -> Double { Double(1 + column * 17 % columns / 4) / 16 }
      let probabilities = Grid(bench, type, rows, columns) { Float(weight($1)) }
      let kept = filtered((0..<columns).map(weight), filter)
      let lists = Lists(bench)
      var draws = CUDAOperators.Draws(
        seeds: try lists([UInt64](repeating: UInt64(number + 3), count: rows)),
        counters: try lists((0..<rows).map { UInt64($0) }))
      draws.topK = try lists([Int32](repeating: Int32(filter.topK), count: rows))
      draws.topP = try lists([Float](repeating: filter.topP, count: rows))
      draws.minP = try lists([Float](repeating: filter.minP, count: rows))
      draws.order = filter.order
      let tokens = try lists([Int32](repeating: -2, count: rows))
      let found = lists.elements(Int32.self)
      try bench.run(
        operators.sampleFromProbabilities(probabilities.matrix, draws, into: tokens))
      var counts = [Int](repeating: 0, count: columns)
      for row in 0..<rows {
        guard counts.indices.contains(Int(found[row])) else { return .infinity }
        counts[Int(found[row])] += 1
      }
      var (statistic, freedom) = (0.0, -1.0)
      for (count, probability) in zip(counts, kept) {
        if probability == 0 && count > 0 { return .infinity }
        if probability == 0 { continue }
        let expected = probability * Double(rows)
        statistic += (Double(count) - expected) * (Double(count) - expected) / expected
        freedom += 1
      }
      worst = max(worst, statistic / max(freedom + 6 * (2 * freedom).squareRoot(), 1e-9))
    }
    return worst
  }

  /// The probabilities that a filter leaves, in Double and by sorting.
  private static func filtered(_ weights: [Double], _ filter: SamplingFilter) -> [Double] {
    let total = weights.reduce(0, +)
    let order = weights.indices.sorted {
      weights[$0] != weights[$1] ? weights[$0] > weights[$1] : $0 < $1
    }
    let most = filter.topK > 0 ? min(filter.topK, order.count) : order.count
    let share = filter.order == .joint ? total : order.prefix(most).reduce(0) { $0 + weights[$1] }
    var (kept, before) = ([Double](repeating: 0, count: weights.count), 0.0)
    for (i, token) in order.prefix(most).enumerated() {
      let isEnough = filter.topP < 1 && before >= Double(filter.topP) * share
      if i > 0 && (isEnough || weights[token] < Double(filter.minP) * weights[order[0]]) { break }
      kept[token] = weights[token]
      before += weights[token]
    }
    return kept.map { $0 / before }
  }
}
