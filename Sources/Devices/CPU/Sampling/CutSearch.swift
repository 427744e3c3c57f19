internal import CMicrokernels

/// Finds cuts without sorting a row: thresholds are bisected with passes of a vector kernel, and
/// only the few elements that are left between two thresholds are put in order.
struct CutSearch {
  let kernels: swa_sampling_kernels
  /// Room for as many values and positions as a row has, and 16 more.
  let values: UnsafeMutablePointer<Float>
  let positions: UnsafeMutablePointer<Int32>

  /// Elements that are cheaper to sort than to bisect.
  private static let few = 32

  /// The cut that keeps the shortest beginning of the order which reaches `goal`.
  ///
  /// - Parameters:
  ///   - row: Numbers; for a sum, none of them negative counts.
  ///   - goal: What is kept.
  ///   - largest: The largest of the row.
  func cut(_ row: VocabularyRow, reaching goal: Goal, largest: Float) -> Cut {
    // What is at least `low` reaches the goal; what is at least `high` does not.
    var high = FloatRank(rank: FloatRank(largest).rank + 1)
    var low = high
    var atHigh = VocabularyRow.Measure()
    var atLow = atHigh
    for start in Self.starts(goal, largest: largest) where FloatRank(start) < high {
      low = FloatRank(start)
      atLow = row.measure(atLeast: start, kernels)
      if goal.isReached(by: atLow) { break }
      (high, atHigh) = (low, atLow)
    }
    guard goal.isReached(by: atLow) else { return .nothing }

    var part = row
    var isPart = false
    var beyond = VocabularyRow.Measure()  // of the elements that a part leaves out above
    var step = 0
    while atLow.count - atHigh.count > Self.few, high.rank - 1 > low.rank {
      if !isPart, atLow.count - atHigh.count <= row.count / 8 {
        part = gather(row, low, high)
        isPart = true
        beyond = atHigh
      }
      let middle = Self.middle(low, high, goal, step)
      let measure = part.measure(atLeast: middle.value, kernels) + beyond
      if goal.isReached(by: measure) {
        (low, atLow) = (middle, measure)
      } else {
        (high, atHigh) = (middle, measure)
      }
      step += 1
    }
    if !isPart { part = gather(row, low, high) }
    return last(of: part, low, high, reaching: goal, after: atHigh)
  }

  /// Thresholds to try first, falling; the last one keeps every element that counts.
  private static func starts(_ goal: Goal, largest: Float) -> [Float] {
    switch goal {
    case .count: [-.infinity]
    // Weights fall by powers: most of their sum is nearly always close to the top.
    case .sum:
      [largest * 0x1p-4, largest * 0x1p-8, largest * 0x1p-16, .leastNonzeroMagnitude]
    }
  }

  /// A rank strictly between two that are not neighbours.
  private static func middle(_ low: FloatRank, _ high: FloatRank, _ goal: Goal, _ step: Int)
    -> FloatRank
  {
    let byRank = FloatRank(rank: Int32((Int(low.rank) + Int(high.rank)) / 2))
    // Logits lie evenly by value, weights by exponent. Ranks end the search in 32 steps.
    guard case .count = goal, step % 2 == 0, low.value.isFinite, high.value.isFinite else {
      return byRank
    }
    let byValue = FloatRank(low.value / 2 + high.value / 2)
    return byValue > low && byValue < high ? byValue : byRank
  }

  /// Copies the elements from `low` to below `high`.
  private func gather(_ row: VocabularyRow, _ low: FloatRank, _ high: FloatRank) -> VocabularyRow {
    let below = FloatRank(rank: high.rank - 1).value
    let count =
      kernels.gather?(
        row.values, row.maxima, row.count, low.value, below, values, positions) ?? 0
    return VocabularyRow(values: UnsafePointer(values), maxima: nil, count: count)
  }

  /// The element of the gathered `part` between two thresholds at which the goal is reached.
  private func last(
    of part: VocabularyRow, _ low: FloatRank, _ high: FloatRank, reaching goal: Goal,
    after measure: VocabularyRow.Measure
  ) -> Cut {
    if high.rank - 1 == low.rank {
      // All are equal: positions decide.
      let needed =
        switch goal {
        case .count(let goal): goal - measure.count
        case .sum(let goal): Int(min(((goal - measure.sum) / Double(low.value)).rounded(.up), 1e9))
        }
      var seen = 0
      var position = Int.max
      for i in 0..<part.count where part.values[i] == low.value {
        seen += 1
        position = Int(positions[i])
        if seen >= needed { break }
      }
      return Cut(value: low.value, position: position)
    }
    var inside: [(value: Float, position: Int32)] = []
    inside.reserveCapacity(Self.few)
    for i in 0..<part.count
    where part.values[i] >= low.value && FloatRank(part.values[i]) < high {
      inside.append((part.values[i], positions[i]))
    }
    inside.sort { ($0.value, $1.position) > ($1.value, $0.position) }
    var measure = measure
    for element in inside {
      measure = measure + VocabularyRow.Measure(count: 1, sum: Double(element.value))
      if goal.isReached(by: measure) {
        return Cut(value: element.value, position: Int(element.position))
      }
    }
    // The last digits of a sum decided otherwise.
    return inside.last.map { Cut(value: $0.value, position: Int($0.position)) } ?? .nothing
  }
}
