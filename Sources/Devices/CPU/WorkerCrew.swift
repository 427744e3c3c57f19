internal import CMicrokernels
import Glibc
internal import Synchronization

/// The threads of a pool: they wait for a piece of work, run it and wait for the next.
///
/// They spin briefly and then sleep: threads that only spin collapse as soon as another process
/// holds a core. Each holds the crew and none the pool, so that the pool's end can be theirs.
///
/// A fork copies a process without its threads: in the child the next piece of work starts others.
final class WorkerCrew: @unchecked Sendable {
  /// Checks of the next piece of work before a thread goes to sleep: some tens of microseconds.
  private static let spins = 4_000

  /// What the caller and the threads tell each other, in a cache line of its own: counting the crew's
  /// references takes none from a thread that spins.
  private struct Board: ~Copyable {
    // `work` and `context` are written by the caller before `epoch` is raised and read by workers
    // after they see it raised; no worker reads them once `running` has reached 0.
    var work: WorkerPool.Work?
    var context: UnsafeMutableRawPointer?
    let epoch = Atomic<UInt>(0)
    let running = Atomic<Int>(0)
    let sleepers = Atomic<Int>(0)
    let stopping = Atomic<Bool>(false)
    /// The forks that had led to the process whose threads these are, and how many they are.
    let forks = Forks.count
    var threads = 0
  }

  // Lives until `deinit`.
  private let board = UnsafeMutableRawPointer.allocate(
    byteCount: MemoryLayout<Board>.size, alignment: 64
  ).bindMemory(to: Board.self, capacity: 1)

  // Sleep and wake-up. The condition variables live at fixed addresses until `deinit`.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let wake = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let done = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let wanted: Int
  private var threads: [pthread_t] = []

  /// Starts workers 1 to `count`; where the system refuses a thread, fewer.
  init(_ count: Int) {
    wanted = count
    start()
  }

  private func start() {
    board.initialize(to: Board())
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(wake, nil)
    pthread_cond_init(done, nil)
    threads = []
    for worker in 1...wanted {
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
    board.pointee.threads = threads.count
  }

  deinit {
    pthread_mutex_destroy(mutex)
    pthread_cond_destroy(wake)
    pthread_cond_destroy(done)
    mutex.deallocate()
    wake.deallocate()
    done.deallocate()
    board.deinitialize(count: 1)
    board.deallocate()
  }

  /// The number of threads.
  var count: Int { board.pointee.threads }

  /// Whether the threads are this process's.
  private var isPresent: Bool { board.pointee.forks == Forks.count }

  /// Ends the threads, which run nothing, and returns when they have ended.
  func stop() {
    guard isPresent else { return }
    board.pointee.stopping.store(true, ordering: .sequentiallyConsistent)
    board.pointee.epoch.add(1, ordering: .sequentiallyConsistent)
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
    if !isPresent { start() }
    let threads = board.pointee.threads
    board.pointee.work = work
    board.pointee.context = context
    board.pointee.running.store(threads, ordering: .relaxed)
    board.pointee.epoch.add(1, ordering: .sequentiallyConsistent)
    if board.pointee.sleepers.load(ordering: .sequentiallyConsistent) > 0 {
      pthread_mutex_lock(mutex)
      pthread_cond_broadcast(wake)
      pthread_mutex_unlock(mutex)
    }
    work(context, 0)
    if threads < workers - 1 { for worker in threads + 1..<workers { work(context, worker) } }
    join()
  }

  /// The life of one thread.
  private func serve(_ worker: Int) {
    var seen: UInt = 0
    while true {
      awaitWork(after: seen)
      seen &+= 1
      if board.pointee.stopping.load(ordering: .acquiring) { return }
      if let work = board.pointee.work, let context = board.pointee.context {
        work(context, worker)
      }
      if board.pointee.running.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 {
        pthread_mutex_lock(mutex)
        pthread_cond_signal(done)
        pthread_mutex_unlock(mutex)
      }
    }
  }

  private func awaitWork(after seen: UInt) {
    for _ in 0..<Self.spins {
      if board.pointee.epoch.load(ordering: .acquiring) != seen { return }
      swa_pause()
    }
    pthread_mutex_lock(mutex)
    board.pointee.sleepers.add(1, ordering: .sequentiallyConsistent)
    while board.pointee.epoch.load(ordering: .sequentiallyConsistent) == seen {
      pthread_cond_wait(wake, mutex)
    }
    board.pointee.sleepers.subtract(1, ordering: .relaxed)
    pthread_mutex_unlock(mutex)
  }

  private func join() {
    for _ in 0..<Self.spins {
      if board.pointee.running.load(ordering: .acquiring) == 0 { return }
      swa_pause()
    }
    pthread_mutex_lock(mutex)
    while board.pointee.running.load(ordering: .acquiring) != 0 { pthread_cond_wait(done, mutex) }
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
