import Glibc

/// Machine code that can be run: pages of its own, written once and from then on read and executed only.
///
/// - Invariant: The pages are never writable and executable at the same time, nor written after `init`,
///   and live as long as this does; whoever calls into them keeps it alive.
final class ExecutableMemory: @unchecked Sendable {
  private let start: UnsafeRawPointer
  private let byteCount: Int

  /// Takes a copy of the code; `nil` where the system gives no such memory.
  init?(_ code: [UInt8]) {
    let page = max(sysconf(Int32(_SC_PAGESIZE)), 4_096)
    byteCount = (code.count + page - 1) / page * page
    let address = mmap(
      nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard !code.isEmpty, let address, address != MAP_FAILED else { return nil }
    code.withUnsafeBytes { bytes in
      if let first = bytes.baseAddress { address.copyMemory(from: first, byteCount: bytes.count) }
    }
    guard mprotect(address, byteCount, PROT_READ | PROT_EXEC) == 0 else {
      munmap(address, byteCount)
      return nil
    }
    start = UnsafeRawPointer(address)
  }

  /// The code as a function of a C signature, for which it must have been made.
  func function<Signature>(_ signature: Signature.Type) -> Signature {
    unsafeBitCast(start, to: signature)
  }

  deinit { munmap(UnsafeMutableRawPointer(mutating: start), byteCount) }
}
