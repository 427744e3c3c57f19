internal import Synchronization

/// Persistent threads that run one piece of work together and return when all are done.
///
/// The calling thread is worker 0; the others end with the pool. `forkJoin` allocates nothing.
///
/// One piece of work runs at a time; callers on other threads wait their turn. Work must not call
/// back into its own pool.
public final class WorkerPool: Sendable {
  /// What the workers run: called once by every worker with the context and the worker's number.
  package typealias Work = @convention(c) (UnsafeMutableRawPointer, Int) -> Void

  /// The number of workers, the calling thread among them.
  public let count: Int

  private let turn = Mutex<Void>(())
  /// The workers other than the caller, where they are this pool's own.
  private let crew: WorkerCrew?
  /// Whose threads run the work where they are not this pool's own.
  private let team: OpenMPTeam?

  /// Starts `count` workers (at least 1); where the system refuses a thread, fewer.
  public init(count requested: Int) {
    crew = requested > 1 ? WorkerCrew(requested - 1) : nil
    count = 1 + (crew?.count ?? 0)
    team = nil
  }

  /// A pool of `count` workers on an OpenMP runtime's threads, without any of its own.
  init(count: Int, on team: OpenMPTeam) {
    self.count = count
    crew = nil
    self.team = team
  }

  deinit { crew?.stop() }

  /// Runs `work(context, worker)` once on every worker and returns when all have returned.
  package func forkJoin(_ context: UnsafeMutableRawPointer, _ work: Work) {
    turn.withLock { _ in
      if count == 1 {
        work(context, 0)
      } else if let team {
        team.run(count, context, work)
      } else {
        crew?.forkJoin(count, context, work)
      }
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
}
