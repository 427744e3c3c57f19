internal import Devices
internal import Tensors

/// Draws many tokens from few rows: each row's distribution is summed up once, and a draw is a
/// search in the sums.
struct RepeatedSampler {
  private let device: CPUDevice
  private let rows: MatrixView
  private let isLogits: Bool
  /// A row's filtered probabilities, and another row to filter into.
  private let row: MatrixView
  private let other: MatrixView

  init(_ device: CPUDevice, _ rows: MatrixView, isLogits: Bool, _ scratch: Scratch) throws {
    self.device = device
    self.rows = rows
    self.isLogits = isLogits
    row = MatrixView(try scratch.floats(rows.columns), rows: 1, columns: rows.columns)
    other = MatrixView(try scratch.floats(rows.columns), rows: 1, columns: rows.columns)
  }

  /// A token for each of the named rows, −1 where a row has no probability.
  ///
  /// - Parameter filters: One for all samples or one for each.
  func tokens(
    rows chosen: [Int], _ filters: [SamplingFilter], _ random: [CounterRandom.Point]
  ) throws -> [Int] {
    struct Source: Hashable {
      let row: Int
      let filter: SamplingFilter
    }
    guard rows.columns > 0 else { return [Int](repeating: -1, count: chosen.count) }
    var samples: [Source: [Int]] = [:]
    for (i, row) in chosen.enumerated() {
      samples[Source(row: row, filter: filters[filters.count == 1 ? 0 : i]), default: []].append(i)
    }
    var tokens = [Int](repeating: -1, count: chosen.count)
    for (source, places) in samples {
      try filter(source.row, by: source.filter)
      var sums: [Double] = []
      sums.reserveCapacity(rows.columns)
      var total = 0.0
      for token in 0..<rows.columns {
        total += Double(row.base[token])
        sums.append(total)
      }
      guard total > 0, total.isFinite else { continue }
      for i in places { tokens[i] = Self.token(sums, random[i].uniform() * total) }
    }
    return tokens
  }

  /// The first token whose sum is above a value below the total; it has a probability above 0.
  private static func token(_ sums: [Double], _ value: Double) -> Int {
    var (low, high) = (0, sums.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if sums[middle] > value { high = middle } else { low = middle + 1 }
    }
    // Rounding may bring a value to the total, past the last token that counts.
    while low > 0, sums[low] == sums[low - 1] { low -= 1 }
    return low
  }

  /// Leaves a row's filtered probabilities in `row`, which need not sum to 1.
  private func filter(_ number: Int, by filter: SamplingFilter) throws {
    row.base.update(from: rows.row(number), count: rows.columns)
    if isLogits { try device.softmax(row) }
    if filter.order == .joint {
      other.base.update(from: row.base, count: rows.columns)
      try device.topPRenormalize(other, topP: [filter.topP], into: other)
      if filter.topK > 0 { try device.topKRenormalize(row, topK: [filter.topK], into: row) }
      for token in 0..<rows.columns where other.base[token] == 0 { row.base[token] = 0 }
    } else {
      if filter.topK > 0 { try device.topKRenormalize(row, topK: [filter.topK], into: row) }
      try device.topPRenormalize(row, topP: [filter.topP], into: row)
    }
    guard filter.minP > 0 else { return }
    var scale: Float = 0
    for token in 0..<rows.columns { scale = max(scale, row.base[token]) }
    for token in 0..<rows.columns where row.base[token] < filter.minP * scale {
      row.base[token] = 0
    }
  }
}
