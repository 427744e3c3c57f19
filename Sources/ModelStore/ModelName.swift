import Glibc

/// What a user's word for a model stands for.
enum ModelName: Equatable {
  case local(String)
  case known(KnownModel)
  case hub(repository: String, file: String?)

  /// Reads `name`: a known name, else an existing path, else something that looks like a path, else
  /// a name on the hub.
  init(
    parsing name: String, known: [KnownModel], environment: [String: String]
  ) throws(ModelStore.Failure) {
    if let model = known.first(where: { $0.name == name.lowercased() }) {
      self = .known(model)
      return
    }
    var path = name
    if name.hasPrefix("~/"), let home = environment["HOME"] { path = home + name.dropFirst() }
    if access(path, F_OK) == 0 {
      self = .local(path)
      return
    }
    let looksLikePath =
      ["/", "./", "../", "~"].contains { name.hasPrefix($0) }
      || (!name.contains(":") && [".gguf", ".safetensors"].contains { name.hasSuffix($0) })
    let parts = name.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    let repository = parts.first.map(String.init) ?? ""
    let file = parts.count > 1 ? String(parts[1]) : nil
    guard !looksLikePath, Self.isRepository(repository), file.map(Self.isFile) ?? true else {
      throw .notFound(name: name, known: known.map(\.name))
    }
    self = .hub(repository: repository, file: file)
  }

  /// `organisation/repository`, each of the letters the hub allows.
  private static func isRepository(_ text: String) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count == 2 && parts.allSatisfy { isPlain($0) }
  }

  /// A file's name or path inside a repository, never out of it.
  static func isFile(_ text: String) -> Bool {
    text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { isPlain($0) }
  }

  private static func isPlain(_ part: Substring) -> Bool {
    guard let first = part.utf8.first, first != UInt8(ascii: ".") else { return false }
    return part.utf8.count <= 200
      && part.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"),
          UInt8(ascii: "_"), UInt8(ascii: "+"):
          true
        default: false
        }
      }
  }
}
