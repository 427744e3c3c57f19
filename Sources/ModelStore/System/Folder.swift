import FoundationEssentials
import Glibc

/// Small questions to and orders for the file system.
enum Folder {
  /// Makes a folder and those above it.
  static func create(_ path: String) throws(ModelStore.Failure) {
    if access(path, F_OK) == 0 { return }
    let above = parent(of: path)
    if above != path { try create(above) }
    guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
      throw .file(path: path, action: "create this folder", code: errno)
    }
  }

  /// The folder that holds `path`.
  static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Removes a folder and all in it, if it is there.
  static func remove(_ path: String) { try? FileManager.default.removeItem(atPath: path) }

  /// The size of a regular file.
  static func size(of path: String) -> Int? {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    return Int(status.st_size)
  }

  /// The sizes of all files below a folder, together.
  static func sizeOfAll(below path: String) -> Int {
    let names = (try? FileManager.default.subpathsOfDirectory(atPath: path)) ?? []
    return names.reduce(0) { $0 + (size(of: "\(path)/\($1)") ?? 0) }
  }

  /// The names in a folder.
  static func names(in path: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }

  /// The text of a small file, at most 1 MiB.
  static func text(of path: String) -> String? {
    guard let size = size(of: path), size <= 1 << 20,
      let data = FileManager.default.contents(atPath: path)
    else { return nil }
    return String(data: data, encoding: .utf8)
  }

  /// Writes a small file, whole or not at all.
  static func write(_ text: String, to path: String) throws(ModelStore.Failure) {
    let temporary = path + ".new"
    do {
      try Data(text.utf8).write(to: URL(filePath: temporary))
    } catch {
      throw .file(path: path, action: "write", code: errno == 0 ? EIO : errno)
    }
    guard rename(temporary, path) == 0 else {
      throw .file(path: path, action: "write", code: errno)
    }
  }

  /// The bytes that may still be written to the disk of a folder.
  static func available(at path: String) -> Int? {
    var status = statvfs()
    guard statvfs(path, &status) == 0 else { return nil }
    let (bytes, overflow) = Int(clamping: status.f_bavail)
      .multipliedReportingOverflow(by: Int(clamping: status.f_frsize))
    return overflow ? .max : bytes
  }

  /// Checks that `bytes`, and a little more, fit the disk of a folder.
  static func needSpace(for bytes: Int, in path: String) throws(ModelStore.Failure) {
    let needed = max(bytes, 0).addingReportingOverflow(16 << 20)
    guard let available = available(at: path) else { return }
    guard !needed.overflow, needed.partialValue <= available else {
      throw .noSpace(path: path, needed: max(bytes, 0), available: available)
    }
  }
}
