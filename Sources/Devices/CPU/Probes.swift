internal import CMicrokernels
internal import Synchronization
internal import Tensors

// What this machine can do at best. Every measured figure is held against these.
extension CPUDevice {
  /// The best rate of reading memory with all threads, in bytes per second.
  ///
  /// - Parameters:
  ///   - byteCount: The memory that is read, larger than every cache.
  ///   - repetitions: Passes, the fastest of which counts.
  package func readBandwidth(byteCount: Int = 256 << 20, repetitions: Int = 5) -> Double {
    guard let read = linearKernels.read else { return 0 }
    let memory = Self.writtenMemory(byteCount)
    let slices = memory.bytes.count / Self.probeSlice
    let sink = Atomic<UInt32>(0)
    let seconds = fastest(of: repetitions) {
      pool.forEachRange(slices, grain: 1) { range in
        for slice in range {
          let start = memory.bytes.baseAddress.unsafelyUnwrapped + slice * Self.probeSlice
          sink.bitwiseXor(read(start, Self.probeSlice), ordering: .relaxed)
        }
      }
    }
    return Double(slices * Self.probeSlice) / seconds
  }

  /// Memory with pages of its own: pages never written all share one, which stays in the cache.
  private static func writtenMemory(_ byteCount: Int) -> AlignedBuffer {
    let memory = AlignedBuffer(byteCount: max(byteCount, probeSlice))
    memory.elements(UInt64.self).update(repeating: 0x5555_5555_5555_5555)
    return memory
  }

  /// The best rate of copying memory with all threads, in bytes copied per second.
  package func copyBandwidth(byteCount: Int = 256 << 20, repetitions: Int = 5) -> Double {
    let source = Self.writtenMemory(byteCount)
    let target = Self.writtenMemory(byteCount)
    let slices = source.bytes.count / Self.probeSlice
    let seconds = fastest(of: repetitions) {
      pool.forEachRange(slices, grain: 1) { range in
        for slice in range {
          let offset = slice * Self.probeSlice
          (target.bytes.baseAddress.unsafelyUnwrapped + offset).copyMemory(
            from: source.bytes.baseAddress.unsafelyUnwrapped + offset, byteCount: Self.probeSlice)
        }
      }
    }
    return Double(slices * Self.probeSlice) / seconds
  }

  /// The best rate of multiply-adds in registers with all threads, in floating-point operations per
  /// second (two for each product).
  ///
  /// A repetition takes some 10 ms, so that waking the threads does not count.
  ///
  /// - Parameter pairs: Pairs of bf16 rather than 32-bit floats, where the level has them.
  package func fmaPeak(pairs: Bool = false, repetitions: Int = 10) -> Double {
    peak(
      of: pairs
        ? attentionKernels.multiply_add_pairs ?? linearKernels.multiply_add
        : linearKernels.multiply_add, repetitions)
  }

  /// The same for dot products of 8-bit integers; 0 where the level has none.
  package func bytePeak(repetitions: Int = 10) -> Double {
    peak(of: linearKernels.multiply_add_bytes, repetitions)
  }

  private func peak(
    of kernel: (@convention(c) (Int, UnsafeMutablePointer<Float>?) -> Int)?, _ repetitions: Int
  ) -> Double {
    guard let kernel else { return 0 }
    let operations = Atomic<Int>(0)
    let seconds = fastest(of: repetitions) {
      operations.store(0, ordering: .relaxed)
      pool.forkJoin { _ in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 32) { sink in
          for i in sink.indices { sink[i] = i < 16 ? 0.999 : 0.001 }
          let done = sink.baseAddress.map { kernel(5_000_000, $0) } ?? 0
          operations.add(done, ordering: .relaxed)
        }
      }
    }
    return Double(operations.load(ordering: .relaxed)) / seconds
  }

  /// Bytes that a worker reads at a time.
  private static let probeSlice = 4 << 20

  /// The seconds of the fastest run of `body`.
  package func fastest(of repetitions: Int, _ body: () -> Void) -> Double {
    let clock = ContinuousClock()
    let runs = (0..<max(repetitions, 1)).map { _ in clock.measure(body) }
    return (runs.min() ?? .zero) / .seconds(1)
  }
}
