/// The threads of the OpenMP runtime that this process has loaded, as PyTorch has.
///
/// Two pools of spinning threads on the same processors take turns; one that is lent the other's
/// threads does not. GNU's interface, which LLVM's and Intel's runtimes have too, is found at run
/// time: nothing links an OpenMP runtime.
struct OpenMPTeam: Sendable {
  private typealias Body = @convention(c) (UnsafeMutableRawPointer?) -> Void
  private typealias Parallel =
    @convention(c) (Body, UnsafeMutableRawPointer?, CUnsignedInt, CUnsignedInt) -> Void
  private typealias Number = @convention(c) () -> CInt

  private let parallel: Parallel
  private let threadNumber: Number
  private let threadCount: Number
  /// The forks that had led to the process whose threads these are.
  private let forks = Forks.count

  /// The threads that a parallel region has where nobody asks for another number.
  let count: Int

  /// Nil where the process has no OpenMP runtime.
  init?() {
    do throws(DynamicLibrary.Failure) {
      parallel = try DynamicLibrary.process.function("GOMP_parallel")
      threadNumber = try DynamicLibrary.process.function("omp_get_thread_num")
      threadCount = try DynamicLibrary.process.function("omp_get_num_threads")
      let most: Number = try DynamicLibrary.process.function("omp_get_max_threads")
      count = Int(most())
    } catch {
      return nil
    }
  }

  /// Runs `work(context, worker)` once for every worker below `count`, the calling thread helping.
  ///
  /// The runtime may give fewer threads than workers; then a thread is several workers in turn. In a
  /// fork's child, which has none of them, the caller is all.
  func run(_ count: Int, _ context: UnsafeMutableRawPointer, _ work: WorkerPool.Work) {
    guard forks == Forks.count else {
      for worker in 0..<count { work(context, worker) }
      return
    }
    var region = Region(team: self, count: count, context: context, work: work)
    parallel(
      { pointer in
        guard let region = pointer?.assumingMemoryBound(to: Region.self).pointee else { return }
        let (first, step) = (Int(region.team.threadNumber()), Int(region.team.threadCount()))
        for worker in stride(from: first, to: region.count, by: max(step, 1)) {
          region.work(region.context, worker)
        }
      }, &region, CUnsignedInt(count), 0)
  }

  private struct Region {
    let team: OpenMPTeam
    let count: Int
    let context: UnsafeMutableRawPointer
    let work: WorkerPool.Work
  }
}
