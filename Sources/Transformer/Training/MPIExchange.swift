import Devices
import Glibc

/// Gradients added up over the processes of an Open MPI run.
///
/// The library is loaded when asked for: `mpirun -n 2 attn train --mpi …`. Sums come out the same on
/// every process, so weights stay equal without being sent.
public final class MPIExchange: GradientExchange {
  /// This process's number.
  public let rank: Int
  /// The number of processes.
  public let count: Int
  private let calls: Calls

  /// Why processes cannot exchange gradients.
  public enum Failure: Error, Hashable, CustomStringConvertible {
    /// No Open MPI is installed.
    case library(String)
    /// The library lacks a symbol: it is another MPI.
    case symbol(String)
    /// A call failed.
    case call(String, code: Int32)

    /// What is wrong, where, and what was expected.
    public var description: String {
      switch self {
      case .library(let reason):
        "MPI: no libmpi.so.40 (Debian: openmpi-bin): \(reason)"
      case .symbol(let name): "MPI: the library has no \(name); expected Open MPI"
      case .call(let name, let code): "MPI: \(name) failed with \(code)"
      }
    }
  }

  // Open MPI's handles are addresses of its own globals.
  private struct Calls: @unchecked Sendable {
    typealias Allreduce =
      @convention(c) (
        UnsafeRawPointer?, UnsafeMutableRawPointer, Int32, OpaquePointer, OpaquePointer,
        OpaquePointer
      ) -> Int32
    let allreduce: Allreduce
    let world, float, double, sum: OpaquePointer
  }

  /// MPI_IN_PLACE of Open MPI.
  private static var inPlace: UnsafeRawPointer? { UnsafeRawPointer(bitPattern: 1) }
  /// The most elements of one call.
  private static let most = 1 << 26

  /// Joins the run that `mpirun` started; a run of one process without it.
  public init() throws(Failure) {
    let library: DynamicLibrary
    do throws(DynamicLibrary.Failure) {
      library = try DynamicLibrary(["libmpi.so.40"], isGlobal: true)
    } catch {
      throw .library("\(error)")
    }
    func symbol(_ name: String) throws(Failure) -> UnsafeMutableRawPointer {
      do throws(DynamicLibrary.Failure) { return try library.symbol(name) } catch {
        throw .symbol(name)
      }
    }
    typealias Initialize = @convention(c) (UnsafeRawPointer?, UnsafeRawPointer?) -> Int32
    typealias Ask = @convention(c) (OpaquePointer, UnsafeMutablePointer<Int32>) -> Int32
    let initialize = unsafeBitCast(try symbol("MPI_Init"), to: Initialize.self)
    let askRank = unsafeBitCast(try symbol("MPI_Comm_rank"), to: Ask.self)
    let askSize = unsafeBitCast(try symbol("MPI_Comm_size"), to: Ask.self)
    calls = Calls(
      allreduce: unsafeBitCast(try symbol("MPI_Allreduce"), to: Calls.Allreduce.self),
      world: OpaquePointer(try symbol("ompi_mpi_comm_world")),
      float: OpaquePointer(try symbol("ompi_mpi_float")),
      double: OpaquePointer(try symbol("ompi_mpi_double")),
      sum: OpaquePointer(try symbol("ompi_mpi_op_sum")))
    var code = initialize(nil, nil)
    guard code == 0 else { throw .call("MPI_Init", code: code) }
    var (rank, size): (Int32, Int32) = (0, 1)
    code = askRank(calls.world, &rank)
    guard code == 0 else { throw .call("MPI_Comm_rank", code: code) }
    code = askSize(calls.world, &size)
    guard code == 0 else { throw .call("MPI_Comm_size", code: code) }
    self.rank = Int(rank)
    count = Int(size)
    typealias Finalize = @convention(c) () -> Void
    // Without MPI_Finalize the launcher takes an ended process for a crashed one.
    atexit(unsafeBitCast(try symbol("MPI_Finalize"), to: Finalize.self))
  }

  /// Adds up all processes' values in place.
  ///
  /// A failed exchange ends the run: MPI's error handler aborts all processes.
  public func addUp(_ values: UnsafeMutableBufferPointer<Float>) {
    guard let base = values.baseAddress else { return }
    for first in stride(from: 0, to: values.count, by: Self.most) {
      _ = calls.allreduce(
        Self.inPlace, base + first, Int32(min(Self.most, values.count - first)), calls.float,
        calls.sum, calls.world)
    }
  }

  /// The loss of all processes' batches.
  public func addUp(_ loss: Gradient.Loss) -> Gradient.Loss {
    var values = [Double(loss.tokens), loss.smoothed, loss.negativeLogLikelihood]
    values.withUnsafeMutableBufferPointer { values in
      guard let base = values.baseAddress else { return }
      _ = calls.allreduce(
        Self.inPlace, base, Int32(values.count), calls.double, calls.sum, calls.world)
    }
    var sum = Gradient.Loss()
    (sum.tokens, sum.smoothed, sum.negativeLogLikelihood) = (Int(values[0]), values[1], values[2])
    return sum
  }
}
