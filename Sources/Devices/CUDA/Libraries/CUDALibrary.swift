import Glibc

/// NVIDIA's libraries beside the driver, and where they may lie.
///
/// All are looked for alike: the file that an environment variable names, and nothing else where it is
/// set; what the loader finds; CUDA's usual folder; and Python's wheels, in the active virtual environment,
/// in `venv-cuda` in the cache and in the user's own packages.
package enum CUDALibrary: String, CaseIterable {
  case nvrtc, cublasLt, nccl

  /// The variable that names the library's file.
  package var variable: String { "ATTENTION_\(rawValue.uppercased())" }

  /// The versions of the library's interface that there is code for, the newest first.
  private var versions: [String] { self == .nccl ? ["2"] : ["13", "12"] }

  /// Names for the loader and paths of files, in the order in which they are tried.
  package var candidates: [String] {
    candidates { name in getenv(name).map { String(cString: $0) } }
  }

  /// The same with an environment given.
  package func candidates(_ environment: (String) -> String?) -> [String] {
    if let path = environment(variable) { return [path] }
    let names = versions.map { "lib\(rawValue).so.\($0)" } + ["lib\(rawValue).so"]
    let home = environment("HOME") ?? ""
    let cache = environment("XDG_CACHE_HOME") ?? home + "/.cache"
    let environments = [
      environment("VIRTUAL_ENV"), cache + "/swift-attention/venv-cuda", home + "/.local",
    ]
    let wheels = environments.compactMap(\.self).flatMap { root in
      versions.flatMap {
        Self.files("\(root)/lib/python3*/site-packages/nvidia/*/lib/lib\(rawValue).so.\($0)")
      }
    }
    return names + names.map { "/usr/local/cuda/lib64/" + $0 } + wheels
  }

  /// The files that a pattern of the shell's names.
  private static func files(_ pattern: String) -> [String] {
    var result = glob_t()
    defer { globfree(&result) }
    guard glob(pattern, 0, nil, &result) == 0 else { return [] }
    return (0..<Int(result.gl_pathc)).compactMap { i in
      result.gl_pathv[i].map { String(cString: $0) }
    }
  }
}
