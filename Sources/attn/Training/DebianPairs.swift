import Foundation

/// The pairs of `--task en-de`, built once by a script of the project.
enum DebianPairs {
  static func folder() throws -> String {
    let environment = ProcessInfo.processInfo.environment
    let cache =
      environment["XDG_CACHE_HOME"].map { "\($0)/swift-attention" }
      ?? "\(environment["HOME"] ?? ".")/.cache/swift-attention"
    let folder = "\(cache)/pairs/en-de"
    let files = FileManager.default
    let names = ["train", "valid", "test"].flatMap { ["\($0).en", "\($0).de"] }
    if names.allSatisfy({ files.fileExists(atPath: "\(folder)/\($0)") }) { return folder }
    guard let script = script() else {
      throw CommandFailure(
        .noInput,
        "\(folder) has no pairs yet; run: python3 scripts/debian_pairs.py --out \(folder)")
    }
    Terminal.note("building pairs from Debian's package descriptions in \(folder)")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["python3", script, "--out", folder]
    process.standardOutput = FileHandle.standardError
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      throw CommandFailure(.noInput, "\(script) failed with \(process.terminationStatus)")
    }
    return folder
  }

  /// The script, beside the working folder or above the program.
  private static func script() -> String? {
    let name = "scripts/debian_pairs.py"
    var folders = [FileManager.default.currentDirectoryPath]
    var url = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    for _ in 0..<6 {
      url.deleteLastPathComponent()
      folders.append(url.path)
    }
    return folders.map { "\($0)/\(name)" }.first { FileManager.default.fileExists(atPath: $0) }
  }
}
