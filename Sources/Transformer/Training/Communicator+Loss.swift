import Devices

extension Communicator {
  /// Replaces every rank's loss by that of all ranks' batches.
  func addUp(_ loss: inout Gradient.Loss) throws {
    var values = [Double(loss.tokens), loss.smoothed, loss.negativeLogLikelihood]
    try values.withUnsafeMutableBufferPointer { try addUp($0) }
    (loss.tokens, loss.smoothed, loss.negativeLogLikelihood) = (
      Int(values[0]), values[1], values[2]
    )
  }
}
