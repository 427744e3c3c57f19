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
