import Devices
import Glibc
import Synchronization
import Testing

@Suite struct OpenMPTeamTests {
  /// Whether this system has an OpenMP runtime; loaded for all to see, as PyTorch loads its own.
  private static let isLoaded = dlopen("libgomp.so.1", RTLD_NOW | RTLD_GLOBAL) != nil

  @Test(.enabled(if: isLoaded), arguments: [1, 2, 3, 8])
  func everyWorkerRunsOnce(_ count: Int) throws {
    let pool = try CPUDevice(threads: count, usesOpenMP: true).pool
    #expect(pool.count == count)
    for _ in 0..<200 {
      let seen = Atomic<UInt64>(0)
      pool.forkJoin { worker in seen.add(1 << (8 * UInt64(worker)), ordering: .relaxed) }
      #expect(seen.load(ordering: .relaxed) == (0..<count).reduce(0) { $0 | 1 << (8 * $1) })
    }
  }

  @Test(.enabled(if: isLoaded))
  func rangesCoverEverythingOnce() throws {
    let pool = try CPUDevice(threads: 3, usesOpenMP: true).pool
    let seen = Mutex([Int](repeating: 0, count: 777))
    pool.forEachRange(777, grain: 5) { range in
      seen.withLock { seen in for i in range { seen[i] += 1 } }
    }
    #expect(seen.withLock { $0.allSatisfy { $0 == 1 } })
  }
}
