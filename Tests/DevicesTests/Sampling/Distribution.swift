import Devices
import Glibc
import Tensors

/// The definitions of sampling, in the plainest form and in Double.
enum Distribution {
  /// The order of tokens: more probable first, then lower indices; NaN has no place.
  static func order(_ values: [Double]) -> [Int] {
    values.indices.filter { !values[$0].isNaN }.sorted { (values[$0], $1) > (values[$1], $0) }
  }

  static func softmax(_ logits: [Float], temperature: Double = 1) -> [Double] {
    let numbers = logits.map { $0.isNaN ? -.infinity : Double($0) / temperature }
    let largest = numbers.max() ?? 0
    return normalised(numbers.map { exp($0 - largest) })
  }

  static func normalised(_ weights: [Double]) -> [Double] {
    let sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
  }

  /// The distribution that a filter leaves, normalised.
  static func filtered(_ p: [Double], _ filter: SamplingFilter) -> [Double] {
    var kept = order(p)
    let most = p[kept[0]]
    if filter.topK > 0 { kept = Array(kept.prefix(filter.topK)) }
    if filter.topP < 1 {
      let whole = filter.order == .joint ? p.indices.map { $0 } : kept
      let goal = Double(filter.topP) * whole.reduce(0) { $0 + p[$1] }
      var mass = 0.0
      kept = Array(
        kept.prefix { token in
          defer { mass += p[token] }
          return mass < goal
        })
    }
    kept.removeAll { p[$0] < Double(filter.minP) * most }
    var result = p.map { _ in 0.0 }
    for token in kept { result[token] = p[token] }
    return normalised(result)
  }

  /// Σ (observed − expected)² / expected over outcomes, rare ones together, and the value that
  /// fewer than one in a million samples of the distribution exceed.
  static func chiSquare(_ counts: [Int], _ p: [Double]) -> (value: Double, limit: Double) {
    let draws = Double(counts.reduce(0, +))
    var (value, freedom) = (0.0, -1.0)
    var (rareCount, rareMass) = (0.0, 0.0)
    for (count, p) in zip(counts, p) {
      // What cannot be drawn must not be drawn.
      if p == 0 {
        if count > 0 { return (.infinity, 0) }
        continue
      }
      if p * draws < 8 {
        rareCount += Double(count)
        rareMass += p
      } else {
        let difference = Double(count) - p * draws
        value += difference * difference / (p * draws)
        freedom += 1
      }
    }
    if rareMass * draws >= 8 {
      let difference = rareCount - rareMass * draws
      value += difference * difference / (rareMass * draws)
      freedom += 1
    }
    guard freedom > 0 else { return (value, 24) }
    // Wilson and Hilferty's approximation at 4.75 deviations.
    let spread = 2 / (9 * freedom)
    return (value, freedom * pow(1 - spread + 4.75 * spread.squareRoot(), 3) + 1)
  }
}

extension Matrix {
  /// Rows of the same elements.
  init(repeating row: [Float], rows: Int, padding: Int = 3) {
    self.init(rows, row.count, padding: padding, filled: 0)
    for i in 0..<rows { for j in row.indices { self[i, j] = row[j] } }
  }

  /// Rows of given elements.
  init(rows: [[Float]]) {
    self.init(rows.count, rows.first?.count ?? 0, padding: 1, filled: 0)
    for (i, row) in rows.enumerated() { for (j, value) in row.enumerated() { self[i, j] = value } }
  }
}
