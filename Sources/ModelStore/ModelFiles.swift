import Glibc

/// What a model looks like from outside: enough to tell a wrong path before it is opened in earnest.
enum ModelFiles {
  /// Checks that `path` is a GGUF or safetensors file or a folder that holds one.
  static func check(_ path: String) throws(ModelStore.Failure) {
    var status = stat()
    guard stat(path, &status) == 0 else {
      throw .file(path: path, action: "open", code: errno)
    }
    guard status.st_mode & S_IFMT != S_IFDIR else {
      let names = ["model.safetensors", "model.safetensors.index.json"]
      guard names.contains(where: { access("\(path)/\($0)", R_OK) == 0 }) else {
        throw .notAModel(path: path, reason: "the folder has neither \(names[0]) nor \(names[1])")
      }
      return
    }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw .file(path: path, action: "open", code: errno) }
    defer { close(descriptor) }
    var head = [UInt8](repeating: 0, count: 9)
    let count = read(descriptor, &head, 9)
    guard count >= 0 else { throw .file(path: path, action: "read", code: errno) }
    if count >= 4, head.starts(with: "GGUF".utf8) { return }
    // A safetensors file starts with the length of its header, at most 100 MB, and a brace.
    if count == 9, head[4..<8].allSatisfy({ $0 == 0 }), head[8] == UInt8(ascii: "{") { return }
    throw .notAModel(path: path, reason: "it starts neither as GGUF nor as safetensors")
  }
}
