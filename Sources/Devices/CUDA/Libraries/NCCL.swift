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
  ///   - library: By default NCCL where the loader finds it.
  public static func group(_ contexts: [CUDAContext], library: DynamicLibrary? = nil)
    throws(CUDAFailure) -> [NCCL]
  {
    let functions: Functions
    do throws(DynamicLibrary.Failure) {
      functions = try Functions(.given(library, else: ["libnccl.so.2", "libnccl.so"]))
    } catch {
      throw CUDAFailure(error, library: "NCCL")
    }
    var communicators = [OpaquePointer?](repeating: nil, count: contexts.count)
    let devices = contexts.map { Int32($0.device.index) }
    let status = functions.makeAll(&communicators, Int32(clamping: contexts.count), devices)
    try Self.check("ncclCommInitAll", status)
    return zip(contexts, communicators).enumerated().map {
      NCCL($1.0, $1.1, rank: $0, of: contexts.count, functions)
    }
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
    let destroy: @convention(c) (OpaquePointer?) -> Int32
    let allReduce:
      @convention(c) (
        UnsafeRawPointer?, UnsafeMutableRawPointer?, Int, Int32, Int32, OpaquePointer?,
        OpaquePointer?
      ) -> Int32

    init(_ library: DynamicLibrary) throws(DynamicLibrary.Failure) {
      makeAll = try library.function("ncclCommInitAll")
      destroy = try library.function("ncclCommDestroy")
      allReduce = try library.function("ncclAllReduce")
    }
  }
}
