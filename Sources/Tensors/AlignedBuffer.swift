/// Owned raw memory aligned to a cache line, zeroed at birth.
///
/// The one owner of bulk memory in the project. It is a class because views of it are handed to
/// worker threads; whoever holds a pointer into it must hold the buffer too.
///
/// - Invariant: `bytes` stays valid and unmoved until `deinit`.
public final class AlignedBuffer: @unchecked Sendable {
  /// The memory, `byteCount` bytes starting on a 64-byte boundary.
  public let bytes: UnsafeMutableRawBufferPointer

  /// Allocates `byteCount` zeroed bytes.
  ///
  /// Large buffers are rounded to 2 MiB so that the kernel may back them with huge pages.
  public init(byteCount: Int) {
    let alignment = byteCount >= 1 << 21 ? 1 << 21 : 64
    bytes = .allocate(byteCount: max(byteCount, 1), alignment: alignment)
    _ = bytes.initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit { bytes.deallocate() }

  /// The memory seen as elements of a trivial type.
  @inlinable
  public func elements<T: BitwiseCopyable>(_ type: T.Type) -> UnsafeMutableBufferPointer<T> {
    bytes.bindMemory(to: type)
  }
}
