public import Devices
import Synchronization
import Tensors

/// One of several ranks that compute a model together (Megatron-LM, arXiv 1909.08053, §3).
///
/// A rank has some of the heads and some of the feed-forward layers' inner elements: rows of the
/// weights that make them, columns of those that use them. Each branch ends with a sum over the ranks. On
/// processors a rank also has some of the vocabulary's logits, which rank 0 collects; everything else every
/// rank computes for itself.
///
/// Rank 0 decides what is computed: its runners tell the others, which do the same in
/// ``LanguageModel/follow(device:)`` until rank 0 calls ``end()``.
public final class TensorParallelism: Sendable {
  /// The ranks.
  public let communicator: any Communicator
  private let state = Mutex(State())

  private struct State {
    var runners: Int32 = 0
    var hasEnded = false
  }

  /// A rank.
  public init(_ communicator: any Communicator) { self.communicator = communicator }

  /// This rank's number, from 0.
  public var rank: Int { communicator.rank }
  /// The number of ranks.
  public var count: Int { communicator.count }

  /// Replaces a matrix by the sum of all ranks'.
  func addUp(_ matrix: MatrixView) throws {
    if matrix.stride == matrix.columns {
      try communicator.addUp(
        UnsafeMutableBufferPointer(start: matrix.base, count: matrix.rows * matrix.columns))
    } else {
      for row in 0..<matrix.rows {
        try communicator.addUp(
          UnsafeMutableBufferPointer(start: matrix.row(row), count: matrix.columns))
      }
    }
  }

  /// Collects a matrix whose columns ranks share: rank 0's `whole` becomes all of it.
  ///
  /// - Parameters:
  ///   - part: This rank's columns, without gaps between rows; on rank 0 with room for all.
  ///   - widths: The columns of each rank.
  func gather(_ part: MatrixView, widths: [Int], into whole: MatrixView) throws {
    let counts = widths.map { part.rows * $0 }
    try communicator.gather(
      UnsafeMutableBufferPointer(
        start: part.base, count: rank == 0 ? counts.reduce(0, +) : counts[rank]),
      counts: counts)
    guard rank == 0, part.base != whole.base else { return }
    var (from, column) = (part.base, 0)
    for width in widths {
      for row in 0..<part.rows {
        (whole.row(row) + column).update(from: from, count: width)
        from += width
      }
      column += width
    }
  }

  /// On rank 0, tells the others to make a runner, and returns its number.
  func leadRunner(_ options: BatchRunner.Options) throws -> Int32 {
    guard rank == 0 else { return 0 }
    return try state.withLock { state in
      state.runners += 1
      try send(.makeRunner(state.runners, options))
      return state.runners
    }
  }

  /// On rank 0, tells the others what to do and does it too; another rank just does it.
  ///
  /// Where that fails here the others are in the midst of it, so all end.
  func lead(_ order: @autoclosure () -> RankOrder, _ body: () throws -> Void) throws {
    guard rank == 0 else { return try body() }
    let order = order()
    try state.withLock { state in
      if state.hasEnded { throw ModelError.ranks("they have ended") }
      try send(order)
      do { try body() } catch {
        communicator.abort("\(error)")
        throw error
      }
    }
  }

  /// On rank 0, lets the others go; nothing can be computed then.
  public func end() {
    guard rank == 0 else { return }
    let told: Void? = state.withLockIfAvailable { state in
      if !state.hasEnded { try? send(.end) }
      state.hasEnded = true
    }
    // Another thread is in the midst of a step, in which the others wait for it.
    if told == nil { communicator.abort("rank 0 ends in the midst of a step") }
  }

  private func send(_ order: RankOrder) throws {
    var words = try order.words()
    var count = [Int32(words.count)]
    try count.withUnsafeMutableBytes { try communicator.broadcast($0) }
    try words.withUnsafeMutableBytes { try communicator.broadcast($0) }
  }

  /// What rank 0 tells this one.
  func receive() throws -> RankOrder {
    var count: [Int32] = [0]
    try count.withUnsafeMutableBytes { try communicator.broadcast($0) }
    var words = [Int32](repeating: 0, count: Int(count[0]))
    try words.withUnsafeMutableBytes { try communicator.broadcast($0) }
    return try RankOrder(words)
  }
}

extension LanguageModel {
  /// On a rank other than 0, computes this rank's part of what rank 0's runners compute, until
  /// ``TensorParallelism/end()``.
  ///
  /// - Throws: what a step throws. Rank 0 may wait for this rank then: end all ranks.
  public func follow(device: CPUDevice) throws {
    guard let parallelism else { return }
    var runners: [Int32: BatchRunner] = [:]
    func runner(_ number: Int32) throws -> BatchRunner {
      guard let runner = runners[number] else { throw ModelError.ranks("no runner \(number)") }
      return runner
    }
    while true {
      switch try parallelism.receive() {
      case .makeRunner(let number, let options):
        runners[number] = try BatchRunner(self, device: device, options: options)
      case .dropRunner(let number): runners[number] = nil
      case .step(let number, let step): try runner(number).run(step)
      case .copyPage(let number, let source, let target):
        try runner(number).copyPage(Int(source), to: Int(target))
      case .logits(let number, let rows):
        try runner(number).logits(of: rows.map { Int($0) }) { _, _ in }
      case .end: return
      }
    }
  }
}
