/// Processes that train one model together, each on its own batches.
public protocol GradientExchange: Sendable {
  /// This process's number, from 0 on.
  var rank: Int { get }
  /// The number of processes.
  var count: Int { get }
  /// Adds up all processes' values; every process gets the same sums.
  func addUp(_ values: UnsafeMutableBufferPointer<Float>)
  /// The loss of all processes' batches.
  func addUp(_ loss: Gradient.Loss) -> Gradient.Loss
}

extension GradientExchange {
  /// Whether any process says yes; every process gets the same answer.
  public func isTrueAnywhere(_ value: Bool) -> Bool {
    var votes: [Float] = [value ? 1 : 0]
    votes.withUnsafeMutableBufferPointer { addUp($0) }
    return votes[0] > 0
  }
}
