import Glibc
internal import Synchronization

/// Where packed weights live: few large chunks that the kernel may back with huge pages.
///
/// A model has hundreds of matrices of less than a huge page each; side by side in chunks they
/// stream without a TLB miss every 4 KiB. Memory is not zeroed.
package final class PanelMemory: Sendable {
  /// One allocation from the system.
  ///
  /// Freed when the last piece in it is released.
  package final class Chunk: @unchecked Sendable {
    fileprivate let bytes: UnsafeMutableRawBufferPointer
    fileprivate init(byteCount: Int) {
      bytes = .allocate(byteCount: byteCount, alignment: PanelMemory.hugePage)
      madvise(bytes.baseAddress, byteCount, MADV_HUGEPAGE)
    }
    deinit { bytes.deallocate() }
  }

  /// A piece of a chunk, valid for as long as `owner` lives.
  package struct Piece: @unchecked Sendable {
    package let base: UnsafeMutableRawPointer
    package let owner: Chunk
  }

  private static let hugePage = 2 << 20
  private static let chunkBytes = 16 << 20

  private struct State {
    var chunk: Chunk?
    var used = 0
  }
  private let state = Mutex(State())

  package init() {}

  /// `byteCount` uninitialised bytes on a 64-byte boundary.
  package func allocate(byteCount: Int) -> Piece {
    let size = (max(byteCount, 1) + 63) & ~63
    if size >= Self.chunkBytes / 4 {
      let chunk = Chunk(byteCount: (size + Self.hugePage - 1) & ~(Self.hugePage - 1))
      return Piece(base: chunk.bytes.baseAddress.unsafelyUnwrapped, owner: chunk)
    }
    return state.withLock { state in
      let chunk: Chunk
      if let current = state.chunk, state.used + size <= Self.chunkBytes {
        chunk = current
      } else {
        chunk = Chunk(byteCount: Self.chunkBytes)
        state = State(chunk: chunk)
      }
      defer { state.used += size }
      return Piece(base: chunk.bytes.baseAddress.unsafelyUnwrapped + state.used, owner: chunk)
    }
  }
}
