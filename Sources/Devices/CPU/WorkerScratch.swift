internal import Tensors

/// Memory that a worker may scribble on during one piece of work.
///
/// Grows to the largest request and is then reused, so that steady work allocates nothing.
///
/// - Invariant: slot `w` is touched only by worker `w` inside its pool's `forkJoin` or the
///   `forEachRange` that names the worker, which run one piece of work at a time.
package final class WorkerScratch: @unchecked Sendable {
  private let slots: UnsafeMutableBufferPointer<AlignedBuffer>

  /// Scratch for the given number of workers.
  package init(workers: Int) {
    slots = .allocate(capacity: workers)
    for i in 0..<workers { slots.initializeElement(at: i, to: AlignedBuffer(byteCount: 0)) }
  }

  deinit {
    slots.deinitialize()
    slots.deallocate()
  }

  /// At least `count` floats, aligned to a cache line, with arbitrary contents.
  package func floats(_ count: Int, worker: Int) -> UnsafeMutablePointer<Float> {
    let bytes = count * MemoryLayout<Float>.stride
    if slots[worker].bytes.count < bytes {
      slots[worker] = AlignedBuffer(byteCount: bytes + bytes / 2)
    }
    return slots[worker].bytes.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: Float.self)
  }
}
