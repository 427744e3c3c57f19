import Glibc

/// A file on its way: bytes are appended to `<path>.partial` and hashed as they come; only a whole,
/// checked file gets its name.
///
/// Whatever ends the process leaves the partial file, and the next one goes on where it ends. Beside
/// it `<path>.partial.id` says which version the bytes are of and where complete parts end.
final class PartialFile {
  /// The path of the file once it is whole.
  let path: String
  /// The bytes there are.
  private(set) var count = 0
  /// Where each complete part ends, for files that come in parts.
  private(set) var marks: [Int] = []

  private let identity: String
  private let descriptor: Int32
  private var hash = SHA256()

  private var partialPath: String { path + ".partial" }
  private var identityPath: String { path + ".partial.id" }

  /// Opens the partial file, keeping what it has if that is of the same `identity`.
  init(
    _ path: String, identity: String, verifying: (Int) -> Void
  ) throws(ModelStore.Failure) {
    self.path = path
    self.identity = identity
    descriptor = open(path + ".partial", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw .file(path: path + ".partial", action: "create", code: errno)
    }
    let lines = (Folder.text(of: path + ".partial.id") ?? "").split(separator: "\n")
    if lines.first.map(String.init) == identity {
      marks = lines.dropFirst().compactMap { Int($0) }
      try keep(Folder.size(of: partialPath) ?? 0, verifying: verifying)
    } else {
      try keep(0) { _ in }
    }
    try writeIdentity()
  }

  deinit { close(descriptor) }

  /// Keeps the first `length` bytes only.
  func keep(_ length: Int, verifying: (Int) -> Void) throws(ModelStore.Failure) {
    guard ftruncate(descriptor, length) == 0 else { throw failure("shorten") }
    hash = SHA256()
    try FileHash.read(descriptor, path: partialPath) {
      hash.update($0)
      verifying($1)
    }
    count = Int(lseek(descriptor, 0, SEEK_END))
    marks.removeAll { $0 > count }
  }

  /// Writes the next bytes.
  func append(_ bytes: UnsafeRawBufferPointer) throws(ModelStore.Failure) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let written = write(
        descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
      if written < 0, errno == EINTR { continue }
      guard written > 0 else {
        guard errno == ENOSPC || errno == EDQUOT else { throw failure("write") }
        throw .noSpace(
          path: Folder.parent(of: path), needed: rest.count,
          available: Folder.available(at: Folder.parent(of: path)) ?? 0)
      }
      hash.update(UnsafeRawBufferPointer(rebasing: rest.prefix(written)))
      count += written
      rest = rest.dropFirst(written)
    }
  }

  /// Notes that a part is complete.
  func mark() throws(ModelStore.Failure) {
    marks.append(count)
    try writeIdentity()
  }

  /// Checks the whole file, gives it its name and returns its hash; a wrong one is thrown away.
  func finish(size: Int?, sha256: String?) throws(ModelStore.Failure) -> String {
    let found = hash.hexDigest()
    guard size == nil || size == count, sha256 == nil || sha256 == found else {
      unlink(partialPath)
      unlink(identityPath)
      throw .checksum(
        path: path, expected: "\(sha256 ?? "any"), \(size.map(String.init) ?? "any") bytes",
        found: "\(found), \(count) bytes")
    }
    guard fsync(descriptor) == 0 else { throw failure("write") }
    guard rename(partialPath, path) == 0 else { throw failure("rename") }
    unlink(identityPath)
    return found
  }

  private func writeIdentity() throws(ModelStore.Failure) {
    let lines = [identity] + marks.map(String.init)
    try Folder.write(lines.joined(separator: "\n") + "\n", to: identityPath)
  }

  private func failure(_ action: String) -> ModelStore.Failure {
    .file(path: partialPath, action: action, code: errno)
  }
}
