extension MPI {
  /// What differs from one MPI to the next: the values that the header's names stand for.
  ///
  /// Handles are 64 bits here. MPICH's are 32, of which a callee reads only those: arguments are passed
  /// in registers or slots of 64 bits on all supported processors.
  struct ABI: Sendable {
    let world, float, double, byte, sum: UInt
    let inPlace, ignoredStatus: UInt
    /// MPI_THREAD_SERIALIZED.
    let serialized: Int32

    /// The standard's own (MPI 5.0, chapter 20; `libmpi_abi`).
    static let standard = ABI(
      world: 0x101, float: 0x210, double: 0x214, byte: 0x247, sum: 0x21, inPlace: 1,
      ignoredStatus: 0, serialized: 2048)

    /// MPICH's, shared by Intel MPI, MVAPICH and Cray MPICH (`libmpi.so.12`).
    static let mpich = ABI(
      world: 0x4400_0000, float: 0x4c00_040a, double: 0x4c00_080b, byte: 0x4c00_010d,
      sum: 0x5800_0003, inPlace: UInt(bitPattern: -1), ignoredStatus: 1, serialized: 2)

    /// Open MPI's, whose handles are addresses of its own globals (`libmpi.so.40`).
    static func openMPI(_ library: DynamicLibrary) throws(DynamicLibrary.Failure) -> ABI {
      func address(_ name: String) throws(DynamicLibrary.Failure) -> UInt {
        UInt(bitPattern: try library.symbol(name))
      }
      return ABI(
        world: try address("ompi_mpi_comm_world"), float: try address("ompi_mpi_float"),
        double: try address("ompi_mpi_double"), byte: try address("ompi_mpi_byte"),
        sum: try address("ompi_mpi_op_sum"), inPlace: 1, ignoredStatus: 0, serialized: 2)
    }

    /// The ABI of a library.
    ///
    /// - Parameter version: What the library says about itself.
    init(_ library: DynamicLibrary, version: String) throws(Failure) {
      if library.name.contains("libmpi_abi") {
        self = .standard
      } else if (try? library.symbol("ompi_mpi_comm_world")) != nil {
        do throws(DynamicLibrary.Failure) { self = try .openMPI(library) } catch {
          throw .library("\(error)")
        }
      } else if version.contains("MPICH") || version.contains("Intel(R) MPI")
        || version.contains("MVAPICH")
      {
        self = .mpich
      } else {
        throw .unknownABI(library: library.name, version: version)
      }
    }

    private init(
      world: UInt, float: UInt, double: UInt, byte: UInt, sum: UInt, inPlace: UInt,
      ignoredStatus: UInt, serialized: Int32
    ) {
      (self.world, self.float, self.double, self.byte, self.sum) = (world, float, double, byte, sum)
      (self.inPlace, self.ignoredStatus, self.serialized) = (inPlace, ignoredStatus, serialized)
    }
  }

  /// The functions in use, with handles of 64 bits.
  struct Calls: Sendable {
    let initialize:
      @convention(c) (
        UnsafeRawPointer?, UnsafeRawPointer?, Int32, UnsafeMutablePointer<Int32>
      ) -> Int32
    let rank: @convention(c) (UInt, UnsafeMutablePointer<Int32>) -> Int32
    let size: @convention(c) (UInt, UnsafeMutablePointer<Int32>) -> Int32
    let allReduce:
      @convention(c) (
        UInt, UnsafeMutableRawPointer?, Int32, UInt, UInt, UInt, UnsafeMutablePointer<UInt>
      ) -> Int32
    let broadcast:
      @convention(c) (
        UnsafeMutableRawPointer?, Int32, UInt, Int32, UInt, UnsafeMutablePointer<UInt>
      ) -> Int32
    let gather:
      @convention(c) (
        UnsafeRawPointer?, Int32, UInt, UnsafeMutableRawPointer?, UnsafePointer<Int32>,
        UnsafePointer<Int32>, UInt, Int32, UInt, UnsafeMutablePointer<UInt>
      ) -> Int32
    let test:
      @convention(c) (UnsafeMutablePointer<UInt>, UnsafeMutablePointer<Int32>, UInt) -> Int32
    let abort: @convention(c) (UInt, Int32) -> Int32
    let finalize: @convention(c) () -> Int32

    init(_ library: DynamicLibrary) throws(DynamicLibrary.Failure) {
      initialize = try library.function("MPI_Init_thread")
      rank = try library.function("MPI_Comm_rank")
      size = try library.function("MPI_Comm_size")
      allReduce = try library.function("MPI_Iallreduce")
      broadcast = try library.function("MPI_Ibcast")
      gather = try library.function("MPI_Igatherv")
      test = try library.function("MPI_Test")
      abort = try library.function("MPI_Abort")
      finalize = try library.function("MPI_Finalize")
    }
  }
}
