import Glibc

/// The right to change a folder, held by one process at a time; the system takes it back when the
/// process ends, however it ends.
struct FolderLock {
  private let descriptor: Int32

  /// Takes the lock; `waiting` is called first where another holds it.
  init(_ path: String, waiting: () -> Void) throws(ModelStore.Failure) {
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .file(path: path, action: "lock", code: errno) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) != 0 else { return }
    waiting()
    while flock(descriptor, LOCK_EX) != 0 {
      guard errno == EINTR else {
        let code = errno
        close(descriptor)
        throw .file(path: path, action: "lock", code: code)
      }
    }
  }

  /// Gives the lock back.
  func release() { close(descriptor) }
}
