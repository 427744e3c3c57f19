import ArgumentParser
import Devices

/// The processes that compute together.
struct RankOptions: ParsableArguments {
  @Flag(
    inversion: .prefixedNo,
    help:
      "Whether this is one of several processes of `mpiexec` (default: where it started several).")
  var mpi: Bool?

  /// The processes of this run; nil for one alone.
  func join() throws -> MPI? {
    guard mpi ?? (RankLauncher().map { $0.count > 1 } ?? false) else { return nil }
    let mpi = try MPI.join()
    return mpi.count > 1 ? mpi : nil
  }
}

extension MPI {
  /// Does something on all processes that has no collective calls in it; where one fails, all throw.
  ///
  /// The first one tells what is wrong, wherever it is, and with whose exit code.
  func together<R>(_ body: () throws -> R) throws -> R {
    let result = Result(catching: body)
    var failure: (any Error)?
    if case .failure(let error) = result { failure = error }
    let texts = try texts(failure.map { "\($0)" })
    guard let failed = texts.firstIndex(where: { $0 != nil }) else { return try result.get() }
    guard rank == 0 else { throw ExitCode.success }
    throw failure ?? CommandFailure(.data, "rank \(failed): \(texts[failed] ?? "")")
  }
}
