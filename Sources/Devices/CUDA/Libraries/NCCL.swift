public import Tensors

/// Sums over several GPUs of this machine, by NVIDIA's library, opened at run time.
///
/// One process drives all members; a group of one is a group like any other.
public final class NCCL: Sendable {
  /// The members' devices.
  public let contexts: [CUDAContext]
  private let functions: Functions
  private nonisolated(unsafe) let members: [OpaquePointer?]

  /// A group.
  ///
  /// - Parameters:
  ///   - contexts: The members, each of another device.
  ///   - library: By default NCCL where the loader finds it.
  public init(_ contexts: [CUDAContext], library: DynamicLibrary? = nil) throws(CUDAFailure) {
    do throws(DynamicLibrary.Failure) {
      functions = try Functions(.given(library, else: ["libnccl.so.2", "libnccl.so"]))
    } catch {
      throw CUDAFailure(error, library: "NCCL")
    }
    var members = [OpaquePointer?](repeating: nil, count: contexts.count)
    let devices = contexts.map { Int32($0.device.index) }
    let status = functions.makeAll(&members, Int32(clamping: contexts.count), devices)
    try Self.check("ncclCommInitAll", status)
    (self.contexts, self.members) = (contexts, members)
  }

  deinit { for member in members { _ = functions.destroy(member) } }

  /// Asks for the sum of the members' values, which replaces each member's.
  ///
  /// - Parameters:
  ///   - values: An address for each member.
  ///   - count: The elements at each.
  ///   - type: `.float32`, `.bfloat16` or `.float16`.
  ///   - streams: A stream for each member.
  public func addUp(
    _ values: [CUDAAddress], count: Int, type: ElementType, on streams: [CUDAStream]
  ) throws(CUDAFailure) {
    guard values.count == members.count, streams.count == members.count else {
      throw .unsupported("a sum over \(members.count) GPUs with \(values.count) addresses")
    }
    // ncclFloat16 is 6, ncclFloat32 7, ncclBfloat16 9; ncclSum is 0.
    let number: Int32 = type == .bfloat16 ? 9 : type == .float16 ? 6 : 7
    try Self.check("ncclGroupStart", functions.begin())
    var failure: Int32 = 0
    for (member, (value, stream)) in zip(members, zip(values, streams)) where failure == 0 {
      let address = UnsafeMutableRawPointer(bitPattern: UInt(value.bits))
      failure = stream.context.library {
        functions.allReduce(address, address, count, number, 0, member, stream.handle)
      }
    }
    // A group that was begun ends, whatever went wrong in it.
    let ended = functions.end()
    try Self.check("ncclAllReduce", failure)
    try Self.check("ncclGroupEnd", ended)
  }

  private static func check(_ call: String, _ status: Int32) throws(CUDAFailure) {
    if status != 0 { throw .failed(call: call, code: status, name: "an error of NCCL") }
  }

  private struct Functions: Sendable {
    let makeAll:
      @convention(c) (UnsafeMutablePointer<OpaquePointer?>, Int32, UnsafePointer<Int32>) -> Int32
    let destroy: @convention(c) (OpaquePointer?) -> Int32
    let begin: @convention(c) () -> Int32
    let end: @convention(c) () -> Int32
    let allReduce:
      @convention(c) (
        UnsafeRawPointer?, UnsafeMutableRawPointer?, Int, Int32, Int32, OpaquePointer?,
        OpaquePointer?
      ) -> Int32

    init(_ library: DynamicLibrary) throws(DynamicLibrary.Failure) {
      makeAll = try library.function("ncclCommInitAll")
      destroy = try library.function("ncclCommDestroy")
      begin = try library.function("ncclGroupStart")
      end = try library.function("ncclGroupEnd")
      allReduce = try library.function("ncclAllReduce")
    }
  }
}
