/// A model in the cache folder.
public struct CachedModel: Sendable, Hashable {
  /// The name to ask for it by.
  public let name: String
  /// Its file or folder.
  public let path: String
  /// Its size in bytes.
  public let size: Int

  package init(name: String, path: String, size: Int) {
    self.name = name
    self.path = path
    self.size = size
  }
}

extension ModelStore {
  /// The models that are in the cache, whole and checked, in the order of their names.
  public var cached: [CachedModel] {
    ["models", "hub"].flatMap { (kind: String) -> [CachedModel] in
      Folder.names(in: "\(cache)/\(kind)").flatMap { (name: String) -> [CachedModel] in
        let folder = "\(cache)/\(kind)/\(name)"
        return Folder.names(in: folder).filter { $0.hasSuffix(".fetched") }.compactMap {
          (entry: String) -> CachedModel? in
          guard let record = FetchRecord(path: "\(folder)/\(entry)"), record.isCurrent(in: folder)
          else { return nil }
          let isSingle = record.paths.count == 1
          let shown = kind == "hub" ? name.replacing("--", with: "/") : name
          let file = entry == ".model.fetched" || kind == "models" ? "" : ":\(record.paths[0])"
          return CachedModel(
            name: shown + file, path: isSingle ? "\(folder)/\(record.paths[0])" : folder,
            size: record.size)
        }
      }
    }
  }
}
