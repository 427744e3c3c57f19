import Glibc

/// Hashes of files on disk.
enum FileHash {
  /// The SHA-256 hash of a file; `progress` gets the bytes done.
  static func of(
    _ path: String, progress: (Int) -> Void
  ) throws(ModelStore.Failure) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .file(path: path, action: "open", code: errno) }
    defer { close(descriptor) }
    var hash = SHA256()
    try read(descriptor, path: path) {
      hash.update($0)
      progress($1)
    }
    return hash.hexDigest()
  }

  /// Calls `body` with the file's bytes, piece by piece from the start, and the bytes done so far.
  static func read(
    _ descriptor: Int32, path: String, _ body: (UnsafeRawBufferPointer, Int) -> Void
  ) throws(ModelStore.Failure) {
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 << 20, alignment: 4096)
    defer { buffer.deallocate() }
    var done = 0
    while true {
      let count = pread(descriptor, buffer.baseAddress, buffer.count, done)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw .file(path: path, action: "read", code: errno) }
      guard count > 0 else { return }
      done += count
      body(UnsafeRawBufferPointer(rebasing: buffer.prefix(count)), done)
    }
  }
}
