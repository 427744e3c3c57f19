internal import CMicrokernels
import Glibc
internal import Synchronization

/// Persistent threads that run one piece of work together and return when all are done.
///
/// The calling thread is worker 0. The others spin briefly for the next piece of work and then
/// sleep: a pool that only spins collapses as soon as another process holds a core. `forkJoin`
/// allocates nothing.
///
/// One piece of work runs at a time; callers on other threads wait their turn. Work must not call
/// back into its own pool.
public final class WorkerPool: @unchecked Sendable {
  /// What the workers run: called once by every worker with the context and the worker's number.
  package typealias Work = @convention(c) (UnsafeMutableRawPointer, Int) -> Void

  /// The number of workers, the calling thread among them.
  public let count: Int

  /// Checks of the next piece of work before a thread goes to sleep: some tens of microseconds.
  private static let spins = 4_000

  // `work` and `context` are written by the caller before `epoch` is raised and read by workers
  // after they see it raised; no worker reads them once `running` has reached 0.
  private var work: Work?
  private var context: UnsafeMutableRawPointer?
  private let epoch = Atomic<UInt>(0)
  private let running = Atomic<Int>(0)
  private let sleepers = Atomic<Int>(0)
  private let stopping = Atomic<Bool>(false)

  private let turn = Mutex<Void>(())
  /// Whose threads run the work where they are not this pool's own.
  private let team: OpenMPTeam?
  // Sleep and wake-up. The condition variables live at fixed addresses until `deinit`.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let wake = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let done = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var threads: [pthread_t] = []

  /// Starts `count` workers (at least 1); where the system refuses a thread, fewer.
  public init(count requested: Int) {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(wake, nil)
    pthread_cond_init(done, nil)
    // Threads hold the parts, not the pool: the pool's `deinit` can then stop them.
    var started: [pthread_t] = []
    let starts = (1..<max(requested, 1)).map { Start(worker: $0) }
    for start in starts {
      var thread = pthread_t()
      let argument = Unmanaged.passRetained(start)
      let status = pthread_create(
        &thread, nil,
        { argument in
          guard let argument else { return nil }
          let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
          start.awaitPool()?.takeUnretainedValue().serve(start.worker)
          return nil
        }, argument.toOpaque())
      guard status == 0 else {
        argument.release()
        break
      }
      started.append(thread)
    }
    count = started.count + 1
    threads = started
    team = nil
    for start in starts.prefix(started.count) { start.publish(Unmanaged.passUnretained(self)) }
  }

  /// A pool of `count` workers on an OpenMP runtime's threads, without any of its own.
  init(count: Int, on team: OpenMPTeam) {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(wake, nil)
    pthread_cond_init(done, nil)
    self.count = count
    self.team = team
  }

  deinit {
    stopping.store(true, ordering: .sequentiallyConsistent)
    epoch.add(1, ordering: .sequentiallyConsistent)
    pthread_mutex_lock(mutex)
    pthread_cond_broadcast(wake)
    pthread_mutex_unlock(mutex)
    for thread in threads { pthread_join(thread, nil) }
    pthread_mutex_destroy(mutex)
    pthread_cond_destroy(wake)
    pthread_cond_destroy(done)
    mutex.deallocate()
    wake.deallocate()
    done.deallocate()
  }

  /// Runs `work(context, worker)` once on every worker and returns when all have returned.
  package func forkJoin(_ context: UnsafeMutableRawPointer, _ work: Work) {
    turn.withLock { _ in
      guard count > 1 else { return work(context, 0) }
      if let team { return team.run(count, context, work) }
      self.work = work
      self.context = context
      running.store(count - 1, ordering: .relaxed)
      epoch.add(1, ordering: .sequentiallyConsistent)
      if sleepers.load(ordering: .sequentiallyConsistent) > 0 {
        pthread_mutex_lock(mutex)
        pthread_cond_broadcast(wake)
        pthread_mutex_unlock(mutex)
      }
      work(context, 0)
      join()
    }
  }

  /// Runs `body(worker)` once on every worker and returns when all have returned.
  ///
  /// The convenient form of `forkJoin`; it may allocate a few bytes for the closure.
  package func forkJoin(_ body: (_ worker: Int) -> Void) {
    withoutActuallyEscaping(body) { escaping in
      var box = Box(body: escaping)
      withUnsafeMutablePointer(to: &box) { pointer in
        forkJoin(UnsafeMutableRawPointer(pointer)) { context, worker in
          context.assumingMemoryBound(to: Box.self).pointee.body(worker)
        }
      }
    }
  }

  /// Calls `body` with disjoint ranges of at most `grain` indices that cover `0 ..< count`.
  ///
  /// Workers take the next range as they become free, so uneven work balances itself. Work of a
  /// single range runs on the calling thread.
  package func forEachRange(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    let grain = max(grain, 1)
    guard count > grain, self.count > 1 else {
      if count > 0 { body(0..<count) }
      return
    }
    let next = Atomic<Int>(0)
    forkJoin { _ in
      while true {
        let start = next.add(grain, ordering: .relaxed).oldValue
        guard start < count else { return }
        body(start..<min(start + grain, count))
      }
    }
  }

  /// As the other `forEachRange`, for work that uses its worker's scratch.
  ///
  /// Work of a single range runs on the calling thread as worker 0.
  package func forEachRange(
    _ count: Int, grain: Int, _ body: (_ range: Range<Int>, _ worker: Int) -> Void
  ) {
    let grain = max(grain, 1)
    guard count > grain, self.count > 1 else {
      if count > 0 { turn.withLock { _ in body(0..<count, 0) } }
      return
    }
    let next = Atomic<Int>(0)
    forkJoin { worker in
      while true {
        let start = next.add(grain, ordering: .relaxed).oldValue
        guard start < count else { return }
        body(start..<min(start + grain, count), worker)
      }
    }
  }

  private struct Box {
    let body: (Int) -> Void
  }

  /// The life of one worker thread.
  private func serve(_ worker: Int) {
    var seen: UInt = 0
    while true {
      awaitWork(after: seen)
      seen &+= 1
      if stopping.load(ordering: .acquiring) { return }
      if let work, let context { work(context, worker) }
      if running.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
        pthread_mutex_lock(mutex)
        pthread_cond_signal(done)
        pthread_mutex_unlock(mutex)
      }
    }
  }

  private func awaitWork(after seen: UInt) {
    for _ in 0..<Self.spins {
      if epoch.load(ordering: .acquiring) != seen { return }
      swa_pause()
    }
    pthread_mutex_lock(mutex)
    sleepers.add(1, ordering: .sequentiallyConsistent)
    while epoch.load(ordering: .sequentiallyConsistent) == seen { pthread_cond_wait(wake, mutex) }
    sleepers.subtract(1, ordering: .relaxed)
    pthread_mutex_unlock(mutex)
  }

  private func join() {
    for _ in 0..<Self.spins {
      if running.load(ordering: .acquiring) == 0 { return }
      swa_pause()
    }
    pthread_mutex_lock(mutex)
    while running.load(ordering: .acquiring) != 0 { pthread_cond_wait(done, mutex) }
    pthread_mutex_unlock(mutex)
  }
}

extension WorkerPool {
  /// Hands the finished pool to a thread that was started while the pool was being made.
  private final class Start: @unchecked Sendable {
    let worker: Int
    private let pool = Mutex<UInt?>(nil)

    init(worker: Int) { self.worker = worker }

    func publish(_ pool: Unmanaged<WorkerPool>) {
      self.pool.withLock { $0 = UInt(bitPattern: pool.toOpaque()) }
    }

    func awaitPool() -> Unmanaged<WorkerPool>? {
      while true {
        if let address = pool.withLock({ $0 }) {
          return UnsafeRawPointer(bitPattern: address).map(Unmanaged.fromOpaque)
        }
        sched_yield()
      }
    }
  }
}
