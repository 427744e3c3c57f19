import Glibc
import Synchronization

/// The processes that `mpiexec` started together: an MPI library, opened at run time.
///
/// Nothing is linked. Libraries of the standard's ABI (MPI 5.0), of MPICH's (Intel MPI too) and of Open
/// MPI are understood; by default the one that belongs to the launcher is opened. A process that no
/// launcher started is a run of its own.
///
/// A collective call waits patiently: after a while it sleeps between looks, so that a rank that waits
/// for work costs little. An error in the library ends all ranks by the library's own means.
public final class MPI: Communicator {
  /// This process's number.
  public let rank: Int
  /// The number of processes.
  public let count: Int
  /// What the library says about itself, in a line.
  public let library: String

  private let calls: Calls
  private let abi: ABI
  private let ending = Mutex<(@Sendable () -> Void)?>(nil)
  private static let joined = Mutex<MPI?>(nil)

  /// Why processes cannot work together.
  public enum Failure: Error, Hashable, CustomStringConvertible {
    /// There is no library, or it lacks a function.
    case library(String)
    /// The library is none whose handles are known.
    case unknownABI(library: String, version: String)
    /// A call failed.
    case call(String, code: Int32)
    /// The launcher started several processes, and the library sees this one.
    case launcher(started: Int, found: Int, library: String)

    /// What is wrong, where, and what was expected.
    public var description: String {
      switch self {
      case .library(let reason):
        "MPI: \(reason); expected the library of Open MPI 4 or 5, MPICH or Intel MPI, or one of the "
          + "standard ABI, its path in ATTENTION_MPI where the loader does not find it"
      case .unknownABI(let library, let version):
        "MPI: \(library) is \"\(version)\"; expected Open MPI, MPICH, Intel MPI or libmpi_abi"
      case .call(let name, let code): "MPI: \(name) failed with \(code)"
      case .launcher(let started, let found, let library):
        "MPI: the launcher started \(started) processes, of which \(library) sees \(found): they are of "
          + "different MPIs; ATTENTION_MPI can name the launcher's library"
      }
    }
  }

  /// Joins the run that a launcher started.
  ///
  /// A process can do so once; later calls get the same.
  public static func join() throws(Failure) -> MPI {
    // Not a lock over all of it: the library's initialisation waits for other processes.
    if let mpi = joined.withLock({ $0 }) { return mpi }
    let mpi = try MPI()
    joined.withLock { $0 = mpi }
    // Without MPI_Finalize the launcher takes an ended process for a crashed one.
    atexit { MPI.joined.withLock { $0 }?.leave() }
    return mpi
  }

  /// The library that ``join()`` would open, by its own words.
  public static func availableLibrary() throws(Failure) -> String {
    let library = try open()
    return "\(try version(of: library)) (\(library.name))"
  }

  private init() throws(Failure) {
    let opened = try Self.open()
    library = try Self.version(of: opened)
    abi = try ABI(opened, version: library)
    do throws(DynamicLibrary.Failure) { calls = try Calls(opened) } catch {
      throw .library("\(error)")
    }
    var provided: Int32 = 0
    // Which thread calls does not matter, as one does at a time.
    try Self.check("MPI_Init_thread", calls.initialize(nil, nil, abi.serialized, &provided))
    var (rank, count): (Int32, Int32) = (0, 1)
    try Self.check("MPI_Comm_rank", calls.rank(abi.world, &rank))
    try Self.check("MPI_Comm_size", calls.size(abi.world, &count))
    (self.rank, self.count) = (Int(rank), Int(count))
    if let launcher = RankLauncher(), launcher.count != self.count {
      throw .launcher(started: launcher.count, found: self.count, library: opened.name)
    }
  }

  /// Something to do before this process leaves the run, at its exit.
  public func atEnd(_ body: @escaping @Sendable () -> Void) { ending.withLock { $0 = body } }

  private func leave() {
    ending.withLock { $0 }?()
    _ = calls.finalize()
  }

  /// Ends all processes.
  public func abort(_ reason: String) {
    let text = Array("rank \(rank): \(reason)\n".utf8)
    _ = write(STDERR_FILENO, text, text.count)
    _ = calls.abort(abi.world, 1)
  }

  /// Adds up all processes' values in place.
  public func addUp(_ values: UnsafeMutableBufferPointer<Float>) throws(Failure) {
    try addUp(UnsafeMutableRawBufferPointer(values), values.count, type: abi.float)
  }

  /// Adds up all processes' values in place.
  public func addUp(_ values: UnsafeMutableBufferPointer<Double>) throws(Failure) {
    try addUp(UnsafeMutableRawBufferPointer(values), values.count, type: abi.double)
  }

  private func addUp(_ values: UnsafeMutableRawBufferPointer, _ count: Int, type: UInt)
    throws(Failure)
  {
    guard count > 0 else { return }
    let size = values.count / count
    for first in stride(from: 0, to: count, by: Self.most) {
      var request: UInt = 0
      try Self.check(
        "MPI_Iallreduce",
        calls.allReduce(
          abi.inPlace, values.baseAddress?.advanced(by: first * size),
          Int32(min(Self.most, count - first)), type, abi.sum, abi.world, &request))
      try wait(&request)
    }
  }

  /// Sends process 0's bytes to all.
  public func broadcast(_ bytes: UnsafeMutableRawBufferPointer) throws(Failure) {
    for first in stride(from: 0, to: bytes.count, by: Self.most) {
      var request: UInt = 0
      try Self.check(
        "MPI_Ibcast",
        calls.broadcast(
          bytes.baseAddress?.advanced(by: first), Int32(min(Self.most, bytes.count - first)),
          abi.byte, 0, abi.world, &request))
      try wait(&request)
    }
  }

  /// Collects all processes' values behind process 0's.
  public func gather(_ values: UnsafeMutableBufferPointer<Float>, counts: [Int]) throws(Failure) {
    let counts = counts.map { Int32($0) }
    var offsets: [Int32] = [0]
    for count in counts { offsets.append((offsets.last ?? 0) + count) }
    let own: UnsafeRawPointer? =
      rank == 0
      ? UnsafeRawPointer(bitPattern: abi.inPlace) : UnsafeRawPointer(values.baseAddress)
    var request: UInt = 0
    try Self.check(
      "MPI_Igatherv",
      calls.gather(
        own, counts[rank], abi.float, values.baseAddress, counts, offsets, abi.float, 0, abi.world,
        &request))
    // What the call reads has to be there until it has ended.
    try wait(&request)
    withExtendedLifetime((counts, offsets)) {}
  }

  /// The most elements of one call.
  private static let most = 1 << 26

  /// Waits until a call has ended: at once where it can, then beside other threads, then with pauses.
  private func wait(_ request: inout UInt) throws(Failure) {
    var looks = 0
    while true {
      var isDone: Int32 = 0
      try Self.check("MPI_Test", calls.test(&request, &isDone, abi.ignoredStatus))
      if isDone != 0 { return }
      looks += 1
      // A look is a fraction of a microsecond: the others are a few milliseconds late by then.
      if looks > 20_000 {
        usleep(looks > 40_000 ? 1_000 : 50)
      } else if looks > 200 {
        sched_yield()
      }
    }
  }

  private static func check(_ call: String, _ code: Int32) throws(Failure) {
    if code != 0 { throw .call(call, code: code) }
  }

  /// The library that `ATTENTION_MPI` names, else the launcher's, else what the loader finds.
  private static func open() throws(Failure) -> DynamicLibrary {
    do throws(DynamicLibrary.Failure) {
      if let path = getenv("ATTENTION_MPI"), path.pointee != 0 {
        return try DynamicLibrary([String(cString: path)], isGlobal: true)
      }
      let names = ["libmpi_abi.so.1", "libmpi.so.40", "libmpi.so.12"]
      let beside = RankLauncher.folders.flatMap { folder in names.map { "\(folder)/\($0)" } }
      // Open MPI's own parts look for its functions among all that is loaded.
      return try DynamicLibrary(
        beside.filter { access($0, R_OK) == 0 } + names, isGlobal: true)
    } catch {
      throw .library("\(error)")
    }
  }

  private static func version(of library: DynamicLibrary) throws(Failure) -> String {
    typealias Ask =
      @convention(c) (UnsafeMutablePointer<CChar>, UnsafeMutablePointer<Int32>) -> Int32
    let ask: Ask
    do throws(DynamicLibrary.Failure) {
      ask = try library.function("MPI_Get_library_version")
    } catch {
      throw .library("\(error)")
    }
    // MPI_MAX_LIBRARY_VERSION_STRING is 8192 or less.
    var text = [CChar](repeating: 0, count: 8_193)
    var length: Int32 = 0
    try check("MPI_Get_library_version", ask(&text, &length))
    // Its name and number; Open MPI adds who built it, MPICH how.
    let bytes = text.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
    let line = String(decoding: bytes, as: UTF8.self).split(separator: ",").first ?? ""
    return line.split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }
}
