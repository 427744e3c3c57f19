import CCUDA
public import Tensors

/// Sums over several GPUs by NVIDIA's library, opened at run time: one member of a group.
///
/// A group of one is a group like any other.
public final class NCCL: Sendable {
  /// The member's device.
  public let context: CUDAContext
  /// The member's number, from 0.
  public let rank: Int
  /// The members of the group.
  public let count: Int
  private let functions: Functions
  private nonisolated(unsafe) let communicator: OpaquePointer?

  private init(
    _ context: CUDAContext, _ communicator: OpaquePointer?, rank: Int, of count: Int,
    _ functions: Functions
  ) {
    (self.context, self.communicator, self.functions) = (context, communicator, functions)
    (self.rank, self.count) = (rank, count)
  }

  /// The members of a group of this process's devices, each used by a thread of its own.
  ///
  /// - Parameters:
  ///   - contexts: The members' devices, no two the same.
  ///   - library: By default NCCL: the file that `ATTENTION_NCCL` names, or what the loader or wheels
  ///     (`pip install nvidia-nccl-cu13`) have.
  public static func group(_ contexts: [CUDAContext], library: DynamicLibrary? = nil)
    throws(CUDAFailure) -> [NCCL]
  {
    let functions = try Functions.open(library)
    var communicators = [OpaquePointer?](repeating: nil, count: contexts.count)
    let devices = contexts.map { Int32($0.device.index) }
    let status = functions.makeAll(&communicators, Int32(clamping: contexts.count), devices)
    try Self.check("ncclCommInitAll", status)
    return zip(contexts, communicators).enumerated().map {
      NCCL($1.0, $1.1, rank: $0, of: contexts.count, functions)
    }
  }

  /// The bytes of a group's name.
  public static let idBytes = MemoryLayout<ccuda_nccl_id>.size

  /// A new group's name, for its members to make themselves known by, in whatever processes.
  public static func newID(library: DynamicLibrary? = nil) throws(CUDAFailure) -> [UInt8] {
    let functions = try Functions.open(library)
    var id = [UInt8](repeating: 0, count: idBytes)
    try check("ncclGetUniqueId", functions.newID(&id))
    return id
  }

  /// Joins a group; returns when all its members have.
  ///
  /// - Parameters:
  ///   - context: This member's device, no other member's.
  ///   - rank: This member's number, below `count`.
  ///   - count: The members of the group.
  ///   - id: The group's name, made by one of them.
  ///   - library: By default NCCL: the file that `ATTENTION_NCCL` names, or what the loader or wheels
  ///     (`pip install nvidia-nccl-cu13`) have.
  public convenience init(
    _ context: CUDAContext, rank: Int, of count: Int, id: [UInt8], library: DynamicLibrary? = nil
  ) throws(CUDAFailure) {
    let functions = try Functions.open(library)
    guard id.count == Self.idBytes else {
      throw .unsupported(
        "the name of an NCCL group has \(id.count) bytes; expected \(Self.idBytes)")
    }
    var communicator: UnsafeMutableRawPointer?
    let status = id.withUnsafeBytes { bytes in
      let id = bytes.loadUnaligned(as: ccuda_nccl_id.self)
      return withUnsafePointer(to: id) { id in
        context.library {
          ccuda_nccl_init_rank(functions.join, &communicator, Int32(count), id, Int32(rank))
        }
      }
    }
    try Self.check("ncclCommInitRank", status)
    self.init(
      context, OpaquePointer(communicator), rank: rank, of: count, functions)
  }

  deinit { _ = functions.destroy(communicator) }

  /// Asks for the sum of the members' values, which replaces each member's.
  ///
  /// Every member asks for as many sums, in the same order.
  ///
  /// - Parameters:
  ///   - values: The first of this member's.
  ///   - count: Their number.
  ///   - type: `.float32`, `.bfloat16` or `.float16`.
  public func addUp(
    _ values: CUDAAddress, count: Int, type: ElementType, on stream: CUDAStream
  ) throws(CUDAFailure) {
    // ncclFloat16 is 6, ncclFloat32 7, ncclBfloat16 9; ncclSum is 0.
    let number: Int32 = type == .bfloat16 ? 9 : type == .float16 ? 6 : 7
    let address = UnsafeMutableRawPointer(bitPattern: UInt(values.bits))
    let status = context.library {
      functions.allReduce(address, address, count, number, 0, communicator, stream.handle)
    }
    try Self.check("ncclAllReduce", status)
  }

  private static func check(_ call: String, _ status: Int32) throws(CUDAFailure) {
    if status != 0 { throw .failed(call: call, code: status, name: "an error of NCCL") }
  }

  private struct Functions: Sendable {
    let makeAll:
      @convention(c) (UnsafeMutablePointer<OpaquePointer?>, Int32, UnsafePointer<Int32>) -> Int32
    let newID: @convention(c) (UnsafeMutablePointer<UInt8>) -> Int32
    nonisolated(unsafe) let join: UnsafeMutableRawPointer
    let destroy: @convention(c) (OpaquePointer?) -> Int32
    let allReduce:
      @convention(c) (
        UnsafeRawPointer?, UnsafeMutableRawPointer?, Int, Int32, Int32, OpaquePointer?,
        OpaquePointer?
      ) -> Int32

    static func open(_ library: DynamicLibrary?) throws(CUDAFailure) -> Functions {
      do throws(DynamicLibrary.Failure) {
        return try Functions(.given(library, else: CUDALibrary.nccl.candidates))
      } catch {
        throw CUDAFailure(error, library: "NCCL")
      }
    }

    init(_ library: DynamicLibrary) throws(DynamicLibrary.Failure) {
      makeAll = try library.function("ncclCommInitAll")
      newID = try library.function("ncclGetUniqueId")
      join = try library.symbol("ncclCommInitRank")
      destroy = try library.function("ncclCommDestroy")
      allReduce = try library.function("ncclAllReduce")
    }
  }
}
