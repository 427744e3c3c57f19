package import Devices
import Foundation

/// Ranks that are threads of this process.
///
/// - Invariant: `condition` is held wherever the variables are used.
package final class ThreadRanks: @unchecked Sendable {
  /// The number of ranks.
  package let count: Int
  private let condition = NSCondition()
  /// What the ranks of the call that goes on have brought.
  private var brought: [[UInt8]?]
  /// How many of them have taken what comes of it.
  private var taken = 0
  private var reason: String?
  private var sums = 0
  private var gathers = 0

  /// A rank has ended all of them.
  package struct Aborted: Error {
    package let reason: String
  }

  /// So many ranks.
  package init(_ count: Int) {
    self.count = count
    brought = [[UInt8]?](repeating: nil, count: count)
  }

  /// How many sums the ranks have made.
  package var sumCount: Int { condition.withLock { sums } }

  /// How often rank 0 has collected the ranks' values.
  package var gatherCount: Int { condition.withLock { gathers } }

  /// Runs a body on a thread for each rank, and returns what each came to.
  package func run<R: Sendable>(_ body: @escaping @Sendable (any Communicator) throws -> R)
    -> [Result<R, any Error>]
  {
    nonisolated(unsafe) var results = [Result<R, any Error>?](repeating: nil, count: count)
    let group = DispatchGroup()
    for rank in 0..<count {
      group.enter()
      Thread {
        let result = Result { try body(Rank(rank: rank, ranks: self)) }
        self.condition.withLock { results[rank] = result }
        group.leave()
      }.start()
    }
    group.wait()
    return results.compactMap { $0 }
  }

  private struct Rank: Communicator {
    let rank: Int
    let ranks: ThreadRanks
    var count: Int { ranks.count }

    func addUp(_ values: UnsafeMutableBufferPointer<Float>) throws { try add(values) }
    func addUp(_ values: UnsafeMutableBufferPointer<Double>) throws { try add(values) }

    private func add<T: FloatingPoint>(_ values: UnsafeMutableBufferPointer<T>) throws {
      let all = try ranks.exchange(Array(UnsafeRawBufferPointer(values)), rank, isSum: true)
      values.update(repeating: 0)
      for bytes in all {
        bytes.withUnsafeBytes { bytes in
          for i in values.indices {
            values[i] += bytes.loadUnaligned(fromByteOffset: i * MemoryLayout<T>.size, as: T.self)
          }
        }
      }
    }

    func broadcast(_ bytes: UnsafeMutableRawBufferPointer) throws {
      bytes.copyBytes(from: try ranks.exchange(Array(bytes), rank, isSum: false)[0])
    }

    func gather(_ values: UnsafeMutableBufferPointer<Float>, counts: [Int]) throws {
      let own = UnsafeRawBufferPointer(values).prefix(counts[rank] * MemoryLayout<Float>.stride)
      let all = try ranks.exchange(Array(own), rank, isSum: false)
      guard rank == 0 else { return }
      UnsafeMutableRawBufferPointer(values).copyBytes(from: all.joined())
      ranks.condition.withLock { ranks.gathers += 1 }
    }

    func abort(_ reason: String) {
      ranks.condition.withLock {
        ranks.reason = ranks.reason ?? reason
        ranks.condition.broadcast()
      }
    }
  }

  /// Waits for the others, who end the run where they do not come.
  private func wait(until end: Date) {
    if !condition.wait(until: end) {
      reason = "a rank does not come"
      condition.broadcast()
    }
  }

  /// What all ranks bring to a call.
  private func exchange(_ bytes: [UInt8], _ rank: Int, isSum: Bool) throws -> [[UInt8]] {
    condition.lock()
    defer { condition.unlock() }
    let end = Date(timeIntervalSinceNow: 600)
    // The call before may not be over for all.
    while brought[rank] != nil, reason == nil { wait(until: end) }
    brought[rank] = bytes
    condition.broadcast()
    while brought.contains(nil), reason == nil { wait(until: end) }
    if let reason { throw Aborted(reason: reason) }
    let all = brought.compactMap { $0 }
    taken += 1
    if taken == count {
      taken = 0
      sums += isSum ? 1 : 0
      brought = [[UInt8]?](repeating: nil, count: count)
      condition.broadcast()
    }
    return all
  }
}
