import Glibc

/// A whole file's bytes, read-only, mapped into memory and not copied.
///
/// The one owner of checkpoint bytes: whoever holds a pointer into ``bytes`` holds the file too.
/// The kernel reads pages on first touch and drops them under pressure, so opening costs nothing.
///
/// If another process shortens the file while it is mapped, touching a page beyond the new end
/// kills this process with SIGBUS, as with every memory map. Replace model files by renaming a new
/// file over the old one, which leaves the mapped one whole.
///
/// A file that no variable holds may be gone before its bytes are read: keep it in a variable or a
/// property for as long as pointers into it are used, or read inside ``withBytes(_:)``.
///
/// - Invariant: `bytes` stays valid, unmoved and unwritten until `deinit`.
public final class MappedFile: @unchecked Sendable {
  /// The file's path, or the name given to bytes that came from no file; used in messages.
  public let path: String
  /// The whole content; never empty.
  public let bytes: UnsafeRawBufferPointer

  private enum Storage { case mapped, allocated }
  private let storage: Storage

  /// Maps the regular file at `path`.
  public init(path: String) throws(Failure) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
    guard descriptor >= 0 else { throw .cannotOpen(path: path, code: errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .cannotOpen(path: path, code: errno) }
    guard status.st_mode & S_IFMT != S_IFDIR else { throw .isDirectory(path: path) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw .notRegular(path: path) }
    guard status.st_size > 0 else { throw .empty(path: path) }
    let count = Int(status.st_size)
    let start = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard let start, start != MAP_FAILED else { throw .cannotMap(path: path, code: errno) }
    self.path = path
    bytes = UnsafeRawBufferPointer(start: start, count: count)
    storage = .mapped
  }

  /// Takes a copy of bytes that are already in memory, to be read as if they were a file's.
  public init(copying source: UnsafeRawBufferPointer, name: String) throws(Failure) {
    guard !source.isEmpty else { throw .empty(path: name) }
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: source.count, alignment: 64)
    copy.copyMemory(from: source)
    path = name
    bytes = UnsafeRawBufferPointer(copy)
    storage = .allocated
  }

  deinit {
    switch storage {
    case .mapped: munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
    case .allocated: bytes.deallocate()
    }
  }

  /// Calls `body` with the whole content, which is valid until it returns.
  public func withBytes<Result>(
    _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    try withExtendedLifetime(self) { try body(bytes) }
  }

  /// Gives the memory of pages that were read back to the kernel; they are read again when touched.
  public func release() {
    guard storage == .mapped else { return }
    _ = madvise(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count, MADV_DONTNEED)
  }

  /// Tells the kernel that the whole file will be read soon, front to back.
  public func prefetch() {
    guard storage == .mapped else { return }
    _ = madvise(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count, MADV_WILLNEED)
  }
}

extension MappedFile {
  /// Why a file cannot be mapped.
  public enum Failure: Error, Hashable {
    /// The system refused to open the file; `code` is errno.
    case cannotOpen(path: String, code: Int32)
    /// The path names a folder.
    case isDirectory(path: String)
    /// The path names a pipe, a socket or a device.
    case notRegular(path: String)
    /// The file has no bytes.
    case empty(path: String)
    /// The system refused to map the file; `code` is errno.
    case cannotMap(path: String, code: Int32)
  }
}

extension MappedFile.Failure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .cannotOpen(let path, let code): "\(path): cannot open: \(String(cString: strerror(code)))"
    case .isDirectory(let path): "\(path): is a folder, expected a file"
    case .notRegular(let path): "\(path): is a device, pipe or socket, expected a regular file"
    case .empty(let path): "\(path): the file is empty"
    case .cannotMap(let path, let code):
      "\(path): cannot map into memory: \(String(cString: strerror(code)))"
    }
  }
}
