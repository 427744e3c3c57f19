import FoundationEssentials
import Glibc

/// One model's way into its folder: lock, list, download what is missing, verify, record.
struct Fetch {
  let name: String
  let folder: String
  let progress: (FetchProgress) -> Void

  /// The path of the model, fetched from `source` unless the folder's record says it is there.
  func run(_ source: some ModelSource) throws(ModelStore.Failure) -> String {
    let recordPath = "\(folder)/.\(source.recordName).fetched"
    if let record = FetchRecord(path: recordPath), record.isCurrent(in: folder) {
      return path(of: record.paths)
    }
    try Folder.create(folder)
    let lock = try FolderLock("\(folder)/.lock") { report(.waiting, 0, nil) }
    defer { lock.release() }
    // Whoever held the lock may have fetched it.
    if let record = FetchRecord(path: recordPath), record.isCurrent(in: folder) {
      return path(of: record.paths)
    }
    let files = try source.files()
    var record = FetchRecord()
    for file in files {
      try Folder.create(Folder.parent(of: "\(folder)/\(file.path)"))
      var hash = try present(file)
      if hash == nil { hash = try download(file, from: source) }
      record.add(file.path, sha256: hash ?? "", in: folder)
    }
    try record.write(to: recordPath)
    report(.done, files.compactMap(\.size).reduce(0, +), nil)
    return path(of: record.paths)
  }

  /// A single file's own path, else the folder's.
  private func path(of paths: [String]) -> String {
    paths.count == 1 ? "\(folder)/\(paths[0])" : folder
  }

  private func report(_ phase: FetchProgress.Phase, _ completed: Int, _ total: Int?) {
    progress(
      FetchProgress(
        model: name, phase: phase, completed: min(completed, total ?? .max), total: total))
  }

  /// The hash of a file that already lies whole in the folder, put there by hand or by a fetch that
  /// ended before its record; `nil` where it is missing or another.
  private func present(_ file: RemoteFile) throws(ModelStore.Failure) -> String? {
    let path = "\(folder)/\(file.path)"
    guard let size = Folder.size(of: path), file.size == nil || size == file.size,
      let expected = file.sha256
    else { return nil }
    let hash = try FileHash.of(path) { report(.verifying, $0, size) }
    return hash == expected ? hash : nil
  }

  private func download(
    _ file: RemoteFile, from source: some ModelSource
  ) throws(ModelStore.Failure) -> String {
    let partial = try PartialFile("\(folder)/\(file.path)", identity: file.identity) {
      report(.verifying, $0, file.size)
    }
    if let size = file.size { try Folder.needSpace(for: size - partial.count, in: folder) }
    report(.downloading, partial.count, file.size)
    try source.download(file, to: partial) { event in
      switch event {
      case .bytes(let count): report(.downloading, count, file.size)
      case .note(let text): report(.note(text), partial.count, file.size)
      }
    }
    return try partial.finish(size: file.size, sha256: file.sha256)
  }
}
