import Glibc

extension ModelStore {
  /// Why a model could not be had.
  public enum Failure: Error, Hashable {
    /// Neither a known name, nor an existing path, nor a name on the hub.
    case notFound(name: String, known: [String])
    /// The source does not have it; `detail` is the source's own word.
    case notAtSource(String, detail: String)
    /// The source could not be reached.
    case noNetwork(String, detail: String)
    /// The disk is too full.
    case noSpace(path: String, needed: Int, available: Int)
    /// The bytes are not the expected ones.
    case checksum(path: String, expected: String, found: String)
    /// The file or folder is no model.
    case notAModel(path: String, reason: String)
    /// A program or library that fetching needs is missing.
    case missingTool(String, remedy: String)
    /// A program failed.
    case tool(String, status: Int32, output: String)
    /// A system call on a file failed; `code` is errno.
    case file(path: String, action: String, code: Int32)

    /// An exit code for a command line, after sysexits.h.
    public var exitCode: Int32 {
      switch self {
      case .notFound, .notAtSource: 66
      case .noNetwork: 69
      case .noSpace: 73
      case .checksum, .notAModel: 65
      case .missingTool: 69
      case .tool: 70
      case .file(_, _, let code): code == EACCES || code == EPERM ? 77 : 74
      }
    }
  }
}

extension ModelStore.Failure: CustomStringConvertible {
  /// What went wrong, where, and what to do.
  public var description: String {
    switch self {
    case .notFound(let name, let known):
      "no model '\(name)': expected a GGUF or safetensors file, a model folder, a name on the "
        + "Hugging Face hub (organisation/repository or organisation/repository:file), or one of "
        + known.joined(separator: ", ")
    case .notAtSource(let what, let detail): "\(what) does not exist at its source: \(detail)"
    case .noNetwork(let what, let detail):
      "cannot fetch \(what): \(detail). Check the network and run the command again (what has "
        + "arrived is kept), or give --model the path of a file you have"
    case .noSpace(let path, let needed, let available):
      "no space for the model in \(path): \(needed >> 20) MiB needed, \(available >> 20) MiB free. "
        + "Free some, or set XDG_CACHE_HOME to a folder on another disk"
    case .checksum(let path, let expected, let found):
      "\(path): the bytes are not the expected ones (SHA-256 \(found), expected \(expected)); "
        + "they were thrown away. Run the command again"
    case .notAModel(let path, let reason): "\(path): not a model: \(reason)"
    case .missingTool(let tool, let remedy): "\(tool) is needed to fetch the model: \(remedy)"
    case .tool(let tool, let status, let output):
      "\(tool) failed with status \(status)\(output.isEmpty ? "" : ": \(output)")"
    case .file(let path, let action, let code):
      "\(path): cannot \(action): \(String(cString: strerror(code)))"
    }
  }
}
