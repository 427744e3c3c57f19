internal import CMicrokernels
import Glibc

/// Chooses from one row of a vocabulary at a time, on a worker's scratch memory.
///
/// Nothing is sorted and, where top-k or min-p leave few tokens, only those are weighed: the row is
/// read for its spans' maxima, and again only where a span holds something large enough.
struct RowSampler {
  let kernels: swa_sampling_kernels
  /// Room for a row's weights.
  let weights: UnsafeMutablePointer<Float>
  private let maxima: UnsafeMutablePointer<Float>
  private let listMaxima: UnsafeMutablePointer<Float>
  /// Room for a row's numbers, or for some of them.
  let list: UnsafeMutablePointer<Float>
  private let positions: UnsafeMutablePointer<Int32>
  private let search: CutSearch

  /// A sampler for rows of `columns` elements on the scratch memory of `worker`.
  ///
  /// - Invariant: used only while that worker runs.
  init(_ device: CPUDevice, columns: Int, worker: Int) {
    kernels = device.linearKernels.sampling
    // Room for whole vectors past the end, on cache lines.
    let row = (columns + 31) / 16 * 16
    let spans = (columns / Int(SWA_SPAN) + 32) / 16 * 16
    var next = device.scratch.floats(5 * row + 2 * spans, worker: worker)
    func take(_ count: Int) -> UnsafeMutablePointer<Float> {
      defer { next += count }
      return next
    }
    weights = take(row)
    maxima = take(spans)
    listMaxima = take(spans)
    list = take(row)
    positions = UnsafeMutableRawPointer(take(row)).assumingMemoryBound(to: Int32.self)
    let values = take(row)
    let places = UnsafeMutableRawPointer(take(row)).assumingMemoryBound(to: Int32.self)
    search = CutSearch(kernels: kernels, values: values, positions: places)
  }

  private static let span = Int(SWA_SPAN)

  /// The token of a row of logits that belongs to `uniform` in [0, 1).
  ///
  /// `nil` where no logit is above −∞. Of infinite logits, and at temperature 0, the first of the
  /// largest is taken.
  func token(
    logits x: UnsafePointer<Float>, count: Int, temperature: Float, filter: SamplingFilter,
    uniform: Double
  ) -> Int? {
    let largest = kernels.maxima?(x, count, maxima) ?? -.infinity
    guard largest > -.infinity else { return nil }
    guard temperature > 0, largest.isFinite else {
      return first(x, count, equalTo: largest)
    }
    let scale = min(1 / temperature, .greatestFiniteMagnitude)
    let row = VocabularyRow(values: x, maxima: UnsafePointer(maxima), count: count)
    let topK = filter.topK > 0 && filter.topK < count
    var kept: Int?
    if topK {
      kept = gather(row, cut(row, topK: filter.topK, largest: largest))
    } else if filter.topP >= 1, filter.minP > 0 {
      // A little more than min-p keeps: it is decided by weights, below.
      let distance = log(filter.minP) * temperature
      kept = gather(row, from: largest + distance * 1.001 - abs(largest) * 1e-6)
    }
    var total = 0.0
    if kept == nil || filter.topP < 1 && filter.order == .joint {
      total = kernels.weights?(x, count, largest, scale, weights, maxima) ?? 0
    }
    let weighed = VocabularyRow(
      values: UnsafePointer(weights), maxima: UnsafePointer(maxima), count: count)
    if let kept {
      let sum = kernels.weights?(list, kept, largest, scale, list, listMaxima) ?? 0
      if filter.topP >= 1 || filter.order == .topKFirst { total = sum }
    }
    return draw(weighed, kept: kept, total: total, largest: 1, filter, uniform)
  }

  /// The token of a row of probabilities, normalised or not, that belongs to `uniform` in [0, 1).
  ///
  /// `nil` where no probability is positive and finite.
  func token(
    probabilities p: UnsafePointer<Float>, count: Int, filter: SamplingFilter, uniform: Double
  ) -> Int? {
    let largest = kernels.maxima?(p, count, maxima) ?? 0
    guard largest > 0, largest.isFinite else { return nil }
    let row = VocabularyRow(values: p, maxima: UnsafePointer(maxima), count: count)
    var kept: Int?
    var total: Double?
    if filter.topK > 0, filter.topK < count {
      kept = gather(row, cut(row, topK: filter.topK, largest: largest))
      if filter.topP >= 1 || filter.order == .topKFirst {
        total = kept.map(listed)?.measure(atLeast: .leastNonzeroMagnitude, kernels).sum
      }
    }
    return draw(
      row, kept: kept, total: total ?? row.measure(atLeast: .leastNonzeroMagnitude, kernels).sum,
      largest: largest, filter, uniform)
  }

  /// A row with its spans' maxima, and its largest element.
  func row(_ x: UnsafePointer<Float>, count: Int) -> (row: VocabularyRow, largest: Float) {
    let largest = kernels.maxima?(x, count, maxima) ?? -.infinity
    return (VocabularyRow(values: x, maxima: UnsafePointer(maxima), count: count), largest)
  }

  /// The cut that keeps the `topK` largest elements.
  ///
  /// - Precondition: `row` has its spans' maxima.
  func cut(_ row: VocabularyRow, topK: Int, largest: Float) -> Cut {
    let spans = (row.count + Self.span - 1) / Self.span
    guard topK <= spans / 2, let maxima = row.maxima else {
      return search.cut(row, reaching: .count(topK), largest: largest)
    }
    // As many spans as there are tokens to keep have a maximum of at least the bound: so many
    // elements are at least as large, and as a rule few more.
    let bound = search.cut(
      VocabularyRow(values: maxima, maxima: nil, count: spans), reaching: .count(topK),
      largest: largest
    ).value
    let count = gather(row, from: bound)
    let cut = search.cut(listed(count), reaching: .count(topK), largest: largest)
    guard cut.position < count else { return cut }
    return Cut(value: cut.value, position: Int(positions[cut.position]))
  }

  /// The cut that keeps the shortest beginning of the order that sums to `goal`.
  func cut(_ row: VocabularyRow, topP goal: Double, largest: Float) -> Cut {
    search.cut(row, reaching: .sum(goal), largest: largest)
  }

  // MARK: - Lists

  private func listed(_ count: Int) -> VocabularyRow {
    VocabularyRow(values: UnsafePointer(list), maxima: nil, count: count)
  }

  /// Lists the elements of at least `low` and returns their number.
  private func gather(_ row: VocabularyRow, from low: Float) -> Int {
    kernels.gather?(row.values, row.maxima, row.count, low, .infinity, list, positions) ?? 0
  }

  /// Lists what a cut keeps and returns its number.
  private func gather(_ row: VocabularyRow, _ cut: Cut) -> Int {
    keep(gather(row, from: cut.value)) { cut.keeps($0, at: $1) }
  }

  /// Drops the elements of the list for which `stays` does not hold.
  private func keep(_ count: Int, _ stays: (_ value: Float, _ position: Int) -> Bool) -> Int {
    var kept = 0
    for i in 0..<count where stays(list[i], Int(positions[i])) {
      (list[kept], positions[kept]) = (list[i], positions[i])
      kept += 1
    }
    return kept
  }

  // MARK: - The draw

  /// Applies top-p and min-p to a row of weights, or to the `kept` of them that are listed, and
  /// draws.
  private func draw(
    _ row: VocabularyRow, kept: Int?, total: Double, largest: Float, _ filter: SamplingFilter,
    _ uniform: Double
  ) -> Int? {
    var kept = kept
    if filter.topP < 1 {
      let goal = Double(filter.topP) * total
      if let count = kept {
        let end = cut(listed(count), topP: goal, largest: largest)
        // The list is in the order of positions, so that its own decide as the row's do.
        var place = -1
        kept = keep(count) { value, _ in
          place += 1
          return end.keeps(value, at: place)
        }
      } else {
        kept = gather(row, cut(row, topP: goal, largest: largest))
      }
    } else if kept == nil, filter.minP > 0 {
      kept = gather(row, from: filter.minP * largest)
    }
    guard var count = kept else { return draw(row, total: total, uniform) }
    if filter.minP > 0 {
      let least = filter.minP * largest
      count = keep(count) { value, _ in value >= least }
    }
    let chosen = listed(count)
    let sum = chosen.measure(atLeast: .leastNonzeroMagnitude, kernels).sum
    return draw(chosen, total: sum, uniform).map { Int(positions[$0]) }
  }

  /// Elements that are passed over together.
  private static let block = 16 * span

  /// Draws from all of some weights that sum to `total`.
  func draw(_ row: VocabularyRow, total: Double, _ uniform: Double) -> Int? {
    var target = uniform * total
    var last: Int?
    for start in stride(from: 0, to: row.count, by: Self.block) {
      let block = VocabularyRow(
        values: row.values + start, maxima: row.maxima.map { $0 + start / Self.span },
        count: min(Self.block, row.count - start))
      let sum = block.measure(atLeast: .leastNonzeroMagnitude, kernels).sum
      if sum > 0 { last = start }
      if sum > target {
        return Self.draw(block.values, block.count, target: target).map { start + $0 }
      }
      target -= sum
    }
    // Rounding carried the target past the end.
    return last.flatMap { start in
      Self.draw(row.values + start, min(Self.block, row.count - start), target: .infinity)
        .map { start + $0 }
    }
  }

  /// The first position up to which weights sum to more than `target`, else the last positive one.
  private static func draw(_ weights: UnsafePointer<Float>, _ count: Int, target: Double) -> Int? {
    var rest = target
    var last: Int?
    for i in 0..<count where weights[i] > 0 {
      rest -= Double(weights[i])
      last = i
      if rest < 0 { break }
    }
    return last
  }

  private func first(_ x: UnsafePointer<Float>, _ count: Int, equalTo value: Float) -> Int? {
    let span = (0..<(count + Self.span - 1) / Self.span).first { maxima[$0] == value }
    guard let start = span.map({ $0 * Self.span }) else { return nil }
    return (start..<min(start + Self.span, count)).first { x[$0] == value }
  }
}
