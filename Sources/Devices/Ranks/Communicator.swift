/// Ranks that compute together: processes of an MPI run, for example.
///
/// Every rank makes the same calls in the same order, and a call returns when all have made it. One
/// thread at a time calls.
public protocol Communicator: Sendable {
  /// This rank's number, from 0.
  var rank: Int { get }
  /// The number of ranks.
  var count: Int { get }
  /// Replaces every rank's values by the sums over all ranks, which are the same bits on each.
  func addUp(_ values: UnsafeMutableBufferPointer<Float>) throws
  /// Replaces every rank's values by the sums over all ranks, which are the same bits on each.
  func addUp(_ values: UnsafeMutableBufferPointer<Double>) throws
  /// Replaces every rank's bytes by rank 0's; the others may wait long for them.
  func broadcast(_ bytes: UnsafeMutableRawBufferPointer) throws
  /// Collects all ranks' values on rank 0.
  ///
  /// - Parameters:
  ///   - values: This rank's; on rank 0 with room for the other ranks' behind them, in their order.
  ///   - counts: How many each rank has.
  func gather(_ values: UnsafeMutableBufferPointer<Float>, counts: [Int]) throws
  /// Ends all ranks, wherever they are: where one cannot go on, the others would wait forever.
  func abort(_ reason: String)
}

extension Communicator {
  /// Whether any rank says yes; every rank gets the same answer.
  public func isTrueAnywhere(_ value: Bool) throws -> Bool {
    var votes: [Float] = [value ? 1 : 0]
    try votes.withUnsafeMutableBufferPointer { try addUp($0) }
    return votes[0] > 0
  }

  /// What each rank has to say, at most 1,000 bytes of it: to all of them, in the order of ranks.
  public func texts(_ own: String?) throws -> [String?] {
    // A text is a sum of which all other terms are zero; its first element says that there is one.
    let places = 1_001
    var sums = [Float](repeating: 0, count: places * count)
    if let own {
      sums[rank * places] = 1
      for (i, byte) in own.utf8.prefix(places - 1).enumerated() {
        sums[rank * places + 1 + i] = Float(byte)
      }
    }
    try sums.withUnsafeMutableBufferPointer { try addUp($0) }
    return (0..<count).map { rank in
      let text = sums[rank * places..<(rank + 1) * places]
      guard text.first == 1 else { return nil }
      return String(decoding: text.dropFirst().map { UInt8($0) }.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
}
