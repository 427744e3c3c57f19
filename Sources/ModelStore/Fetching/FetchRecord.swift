import Glibc

/// The note in a folder that says which files were fetched and checked.
///
/// A line for each file: hash, size, time of last change in nanoseconds, path. Files that still have
/// that size and time are not hashed again.
struct FetchRecord {
  private struct Entry: Equatable {
    let sha256: String
    let size: Int
    let changed: Int
    let path: String
  }

  private var entries: [Entry] = []

  /// A record of nothing.
  init() {}

  /// Reads a record, or `nil` where there is none or it is damaged.
  init?(path: String) {
    guard let text = Folder.text(of: path) else { return nil }
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: " ", maxSplits: 3)
      guard fields.count == 4, let size = Int(fields[1]), let changed = Int(fields[2]) else {
        return nil
      }
      entries.append(
        Entry(sha256: String(fields[0]), size: size, changed: changed, path: String(fields[3])))
    }
    guard !entries.isEmpty else { return nil }
  }

  /// The files' paths relative to the folder.
  var paths: [String] { entries.map(\.path) }

  /// The sum of the files' sizes.
  var size: Int { entries.map(\.size).reduce(0, &+) }

  /// Adds a file that was checked.
  mutating func add(_ path: String, sha256: String, in folder: String) {
    guard let entry = Self.entry(path, sha256: sha256, in: folder) else { return }
    entries.append(entry)
  }

  /// Whether every file is there as it was when it was checked.
  func isCurrent(in folder: String) -> Bool {
    entries.allSatisfy { Self.entry($0.path, sha256: $0.sha256, in: folder) == $0 }
  }

  /// Writes the record, whole or not at all.
  func write(to path: String) throws(ModelStore.Failure) {
    let lines = entries.map { "\($0.sha256) \($0.size) \($0.changed) \($0.path)\n" }
    try Folder.write(lines.joined(), to: path)
  }

  private static func entry(_ path: String, sha256: String, in folder: String) -> Entry? {
    var status = stat()
    guard stat("\(folder)/\(path)", &status) == 0 else { return nil }
    let changed = status.st_mtim.tv_sec * 1_000_000_000 + status.st_mtim.tv_nsec
    return Entry(sha256: sha256, size: Int(status.st_size), changed: changed, path: path)
  }
}
