import Devices
import Tensors

/// How `LinearPrecision.fast` rounds activations for a type at a level.
enum Rounding {
  /// Not at all.
  case none
  /// To bfloat16, and so are half-precision weights.
  case pairs
  /// To 8 bits, in groups of 32.
  case bytes

  init(_ type: ElementType, _ level: InstructionSet) {
    switch type {
    case .float32: self = .none
    case .float16, .bfloat16: self = level == .avx512bf16 ? .pairs : .none
    default: self = level >= .avx2 ? .bytes : .none
    }
  }

  /// The values that the rounded activations of a row stand for.
  func values(_ row: [Float]) -> [Double] {
    switch self {
    case .none: return row.map(Double.init)
    case .pairs: return row.map(Self.bfloat16)
    case .bytes:
      return stride(from: 0, to: row.count, by: 32).flatMap { start -> [Double] in
        let group = row[start..<start + 32]
        let most = group.map(abs).max() ?? 0
        if most < 0x1p-100 { return group.map { _ in 0 } }
        let inverse: Float = 127 / most
        let scale: Float = most * (1 / 127)
        return group.map {
          (Double($0) * Double(inverse)).rounded(.toNearestOrEven) * Double(scale)
        }
      }
    }
  }

  /// The weight that is multiplied.
  func weight(_ weight: Double, _ type: ElementType) -> Double {
    if case .pairs = self, type == .float16 { Self.bfloat16(Float(weight)) } else { weight }
  }

  /// What rounding may change each activation by, from the definition of the format: half a step.
  func limits(_ row: [Float]) -> [Double] {
    switch self {
    case .none: row.map { _ in 0 }
    case .pairs: row.map { Double(abs($0)) * 0x1p-8 }
    case .bytes:
      stride(from: 0, to: row.count, by: 32).flatMap { start in
        let most = row[start..<start + 32].map { Double(abs($0)) }.max() ?? 0
        return [Double](repeating: most / 254 * 1.0001, count: 32)
      }
    }
  }

  private static func bfloat16(_ value: Float) -> Double { Double(Float(BFloat16(value))) }
}

/// Products in Double of rounded activations, and of the activations as they were with the largest
/// error that rounding can explain.
struct RoundedOracle {
  private let columns: Int
  private var rounded: [Double] = []
  private var unrounded: [Double] = []
  private var sizes: [Double] = []
  private var limits: [Double] = []

  init(_ x: Matrix, _ w: StoredMatrix, _ rounding: Rounding) {
    columns = w.rows
    let weights = (0..<w.rows).map { n in (0..<w.columns).map { w.weight(n, $0) } }
    let multiplied = weights.map { $0.map { rounding.weight($0, w.type) } }
    for m in 0..<x.view.rows {
      let row = (0..<w.columns).map { x[m, $0] }
      let values = rounding.values(row)
      let steps = rounding.limits(row)
      for n in 0..<w.rows {
        var (sum, exact, size, limit) = (0.0, 0.0, 0.0, 0.0)
        for k in 0..<w.columns {
          let weight = weights[n][k]
          sum += values[k] * multiplied[n][k]
          exact += Double(row[k]) * weight
          size += abs(Double(row[k]) * weight)
          limit += steps[k] * abs(weight) + abs(Double(row[k]) * (weight - multiplied[n][k])) * 1.01
        }
        rounded.append(sum)
        unrounded.append(exact)
        sizes.append(size)
        limits.append(limit)
      }
    }
  }

  /// The largest error of the first rows against rounded activations, relative to Σ|x·w|.
  func largestError(_ y: Matrix) -> Double {
    largest(y) { abs($0 - rounded[$1]) / max(sizes[$1], 1e-30) }
  }

  /// The largest error against the activations as they were, relative to what rounding explains.
  func largestShare(_ y: Matrix) -> Double {
    largest(y) { abs($0 - unrounded[$1]) / (limits[$1] + 1e-6 * sizes[$1] + 1e-30) }
  }

  private func largest(_ y: Matrix, _ error: (Double, Int) -> Double) -> Double {
    var largest = 0.0
    for i in 0..<y.view.rows {
      for j in 0..<y.view.columns {
        let error = error(Double(y[i, j]), i * columns + j)
        largest = max(largest, error.isNaN ? .infinity : error)
      }
    }
    return largest
  }
}
