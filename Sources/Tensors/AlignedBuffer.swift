import Glibc

/// Owned raw memory aligned to a cache line, zeroed at birth.
///
/// The one owner of bulk memory in the project. It is a class because views of it are handed to
/// worker threads; whoever holds a pointer into it must hold the buffer too.
///
/// - Invariant: `bytes` stays valid and unmoved until `deinit`.
public final class AlignedBuffer: @unchecked Sendable {
  /// The memory, `byteCount` bytes starting on a 64-byte boundary.
  public let bytes: UnsafeMutableRawBufferPointer

  /// From this size on memory comes straight from the kernel: it is zero without being touched, so
  /// that a large pool costs only what is used of it, and may be backed by huge pages.
  private static let mapped = 1 << 21

  private let isMapped: Bool

  /// Allocates `byteCount` zeroed bytes; `nil` where the system has not that much.
  public init?(trying byteCount: Int) {
    isMapped = byteCount >= Self.mapped
    if isMapped {
      guard let bytes = Self.map(byteCount) else { return nil }
      self.bytes = bytes
    } else {
      bytes = Self.allocate(byteCount)
    }
  }

  /// Allocates `byteCount` zeroed bytes, an amount that this machine is known to have.
  ///
  /// Sizes that come from a file or a user go through `init(trying:)`.
  public init(byteCount: Int) {
    if byteCount >= Self.mapped, let bytes = Self.map(byteCount) {
      self.bytes = bytes
      isMapped = true
    } else {
      bytes = Self.allocate(byteCount)
      isMapped = false
    }
  }

  deinit {
    if isMapped {
      munmap(bytes.baseAddress, bytes.count)
    } else {
      bytes.deallocate()
    }
  }

  private static func map(_ byteCount: Int) -> UnsafeMutableRawBufferPointer? {
    let address = mmap(
      nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let address, address != MAP_FAILED else { return nil }
    madvise(address, byteCount, MADV_HUGEPAGE)
    return UnsafeMutableRawBufferPointer(start: address, count: byteCount)
  }

  private static func allocate(_ byteCount: Int) -> UnsafeMutableRawBufferPointer {
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: max(byteCount, 1), alignment: 64)
    _ = bytes.initializeMemory(as: UInt8.self, repeating: 0)
    return bytes
  }

  /// The memory seen as elements of a trivial type.
  @inlinable
  public func elements<T: BitwiseCopyable>(_ type: T.Type) -> UnsafeMutableBufferPointer<T> {
    bytes.bindMemory(to: type)
  }
}
