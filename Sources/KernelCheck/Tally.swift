import Devices

/// What the checks of one level found.
struct Tally {
  /// The parts of the kernels that are counted apart.
  enum Area: Int, CaseIterable {
    case linear, operators, sampling, attention, gradient, training, functions
  }

  /// Failures that are described; more are only counted.
  private static let described = 20

  let level: InstructionSet
  private(set) var failures = 0
  private var cases = [Int](repeating: 0, count: Area.allCases.count)
  private var worst = [Double](repeating: 0, count: Area.allCases.count)

  init(level: InstructionSet) { self.level = level }

  /// Counts a case that is right where `error` is at most `limit`.
  mutating func record(
    _ area: Area, error: Double, limit: Double, _ name: @autoclosure () -> String
  ) {
    cases[area.rawValue] += 1
    worst[area.rawValue] = max(worst[area.rawValue], error)
    if error <= limit { return }
    failures += 1
    if failures <= Self.described {
      print("\(level.rawValue): \(name()): error \(short(error)), expected at most \(short(limit))")
    }
  }

  /// One line: the level, its cases and the largest relative error of each area.
  var summary: String {
    let areas = Area.allCases.map {
      "\($0) \(cases[$0.rawValue]) (\(short(worst[$0.rawValue])))"
    }
    let verdict = failures == 0 ? "ok" : "\(failures) WRONG"
    return "\(level.rawValue): \(verdict); cases (largest relative error): "
      + areas.joined(separator: ", ")
  }

  /// Two significant digits.
  private func short(_ value: Double) -> String {
    guard value > 0, value.isFinite else { return "\(value)" }
    var (mantissa, exponent) = (value, 0)
    while mantissa < 1 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    while mantissa >= 9.95 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
    return "\((mantissa * 10).rounded() / 10)e\(exponent)"
  }
}

/// The largest |found − exact| / scale; ∞ where one is NaN or infinite and the other is not the
/// same.
func largestError(_ found: [Float], _ exact: [Double], scale: [Double]) -> Double {
  var largest = 0.0
  for i in exact.indices {
    let value = Double(found[i])
    if value == exact[i] || value.isNaN && exact[i].isNaN { continue }
    let error = abs(value - exact[i]) / scale[i]
    largest = max(largest, error.isNaN ? .infinity : error)
  }
  return largest
}
