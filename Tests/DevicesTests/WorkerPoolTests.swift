import Devices
import Glibc
import Synchronization
import Testing

@Suite struct WorkerPoolTests {
  @Test(arguments: [1, 2, 3, 8])
  func everyWorkerRunsOnce(_ count: Int) {
    let pool = WorkerPool(count: count)
    for _ in 0..<500 {
      let seen = Atomic<UInt64>(0)
      pool.forkJoin { worker in seen.add(1 << (8 * UInt64(worker)), ordering: .relaxed) }
      #expect(seen.load(ordering: .relaxed) == (0..<pool.count).reduce(0) { $0 | 1 << (8 * $1) })
    }
  }

  @Test(arguments: [1, 2, 5], [0, 1, 7, 777])
  func rangesCoverEverythingOnce(workers: Int, count: Int) {
    let pool = WorkerPool(count: workers)
    for grain in [1, 3, 1_000] {
      let seen = Mutex([Int](repeating: 0, count: count))
      pool.forEachRange(count, grain: grain) { range in
        seen.withLock { seen in for i in range { seen[i] += 1 } }
      }
      #expect(seen.withLock { $0.allSatisfy { $0 == 1 } })
    }
  }

  @Test func sleepersWakeUp() {
    let pool = WorkerPool(count: 2)
    for _ in 0..<5 {
      let sum = Atomic<Int>(0)
      pool.forkJoin { sum.add($0 + 1, ordering: .relaxed) }
      #expect(sum.load(ordering: .relaxed) == 3)
      usleep(5_000)  // longer than the spin: the worker is asleep by now
    }
  }

  /// Its threads end with it: they do not keep it.
  @Test(arguments: [1, 2, 5])
  func aPoolEndsWithItsLastUser(workers: Int) {
    weak var left: WorkerPool?
    do {
      let pool = WorkerPool(count: workers)
      left = pool
      pool.forkJoin { _ in usleep(10) }
    }
    #expect(left == nil)
  }

  @Test func callersTakeTurns() async {
    final class Counter: Sendable { let value = Atomic<Int>(0) }
    let pool = WorkerPool(count: 2)
    let total = Counter()
    await withTaskGroup { group in
      for _ in 0..<4 {
        group.addTask {
          for _ in 0..<200 { pool.forkJoin { _ in total.value.add(1, ordering: .relaxed) } }
        }
      }
    }
    #expect(total.value.load(ordering: .relaxed) == 4 * 200 * pool.count)
  }
}
