internal import CMicrokernels
import Glibc
internal import Synchronization

/// The threads of a pool: they wait for a piece of work, run it and wait for the next.
///
/// They spin briefly and then sleep: threads that only spin collapse as soon as another process
/// holds a core. Each holds the crew and none the pool, so that the pool's end can be theirs.
///
/// A fork copies a process without its threads. In the child their crew is not present: nothing waits
/// for it, and what they held is never freed.
final class WorkerCrew: @unchecked Sendable {
  /// Checks of the next piece of work before a thread goes to sleep: some tens of microseconds.
  private static let spins = 4_000

  // `work` and `context` are written by the caller before `epoch` is raised and read by workers
  // after they see it raised; no worker reads them once `running` has reached 0.
  private var work: WorkerPool.Work?
  private var context: UnsafeMutableRawPointer?
  private let epoch = Atomic<UInt>(0)
  private let running = Atomic<Int>(0)
  private let sleepers = Atomic<Int>(0)
  private let stopping = Atomic<Bool>(false)

  // Sleep and wake-up. The condition variables live at fixed addresses until `deinit`.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let wake = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let done = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var threads: [pthread_t] = []

  /// The forks that had led to this process when the threads were started.
  private let forks = Forks.count

  /// Starts workers 1 to `count`; where the system refuses a thread, fewer.
  init(_ count: Int) {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(wake, nil)
    pthread_cond_init(done, nil)
    for worker in 1...count {
      var thread = pthread_t()
      let argument = Unmanaged.passRetained(Start(crew: self, worker: worker))
      let status = pthread_create(
        &thread, nil,
        { argument in
          guard let argument else { return nil }
          let start = Unmanaged<Start>.fromOpaque(argument).takeRetainedValue()
          start.crew.serve(start.worker)
          return nil
        }, argument.toOpaque())
      guard status == 0 else {
        argument.release()
        break
      }
      threads.append(thread)
    }
  }

  deinit {
    pthread_mutex_destroy(mutex)
    pthread_cond_destroy(wake)
    pthread_cond_destroy(done)
    mutex.deallocate()
    wake.deallocate()
    done.deallocate()
  }

  /// The number of threads.
  var count: Int { threads.count }

  /// Whether the threads are this process's.
  var isPresent: Bool { forks == Forks.count }

  /// Ends the threads, which run nothing, and returns when they have ended.
  func stop() {
    guard isPresent else { return }
    stopping.store(true, ordering: .sequentiallyConsistent)
    epoch.add(1, ordering: .sequentiallyConsistent)
    pthread_mutex_lock(mutex)
    pthread_cond_broadcast(wake)
    pthread_mutex_unlock(mutex)
    for thread in threads { pthread_join(thread, nil) }
  }

  /// Runs `work` as workers 0 to `workers` − 1: one on each thread, worker 0 on the calling one, and
  /// there too what threads are missing for.
  func forkJoin(
    _ workers: Int, _ context: UnsafeMutableRawPointer, _ work: WorkerPool.Work
  ) {
    self.work = work
    self.context = context
    running.store(threads.count, ordering: .relaxed)
    epoch.add(1, ordering: .sequentiallyConsistent)
    if sleepers.load(ordering: .sequentiallyConsistent) > 0 {
      pthread_mutex_lock(mutex)
      pthread_cond_broadcast(wake)
      pthread_mutex_unlock(mutex)
    }
    work(context, 0)
    for worker in threads.count + 1..<max(workers, threads.count + 1) { work(context, worker) }
    join()
  }

  /// The life of one thread.
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

  /// What a thread is started with.
  private final class Start: Sendable {
    let crew: WorkerCrew
    let worker: Int

    init(crew: WorkerCrew, worker: Int) {
      self.crew = crew
      self.worker = worker
    }
  }
}
