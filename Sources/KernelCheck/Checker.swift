import Devices

/// Runs every kernel of one level; the extensions hold the checks.
///
/// Each result is compared with one computed in Double, and with that of the portable level.
final class Checker {
  /// The level's device and the portable one, or the portable one alone.
  let devices: [CPUDevice]
  var tally: Tally
  var random = Random(state: 1)

  init(_ device: CPUDevice) throws {
    // One worker: no thread is started.
    let portable = try CPUDevice(threads: 1, instructionSet: .portable)
    devices = device.instructionSet == .portable ? [device] : [device, portable]
    tally = Tally(level: device.instructionSet)
  }

  /// Runs every check and returns what was found.
  static func run(_ device: CPUDevice) throws -> Tally {
    let checker = try Checker(device)
    checker.checkFunctions()
    try checker.checkLinear()
    try checker.checkOperators()
    try checker.checkSampling()
    try checker.checkAttention()
    try checker.checkGradient()
    checker.checkTraining()
    return checker.tally
  }

  /// Compares a computation on every device with its exact result.
  ///
  /// - Parameters:
  ///   - limit: The largest |found − exact| / scale.
  ///   - scale: What the error of each element is relative to.
  ///   - run: Computes on `devices[side]` into a poisoned matrix.
  func check(
    _ area: Tally.Area, _ name: @autoclosure () -> String, limit: Double, exact: [Double],
    scale: [Double], _ run: (_ side: Int) throws -> Matrix
  ) rethrows {
    let results = try devices.indices.map { try run($0) }
    let found = results[0].values
    var error = largestError(found, exact, scale: scale)
    if let portable = results.dropFirst().first {
      error = max(error, largestError(found, portable.values.map(Double.init), scale: scale))
    }
    tally.record(area, error: results[0].guardsAreIntact ? error : .infinity, limit: limit, name())
  }
}
