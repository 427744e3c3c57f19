import Foundation
import ModelStore

/// The pairs of `--task en-de`, built once by a script of the project.
enum DebianPairs {
  static func folder() throws -> String {
    let folder = "\(ModelStore().cache)/pairs/en-de"
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
      // What env says of a program that is not there.
      let reason =
        process.terminationStatus == 127
        ? "needs python3 (Debian: apt install python3)"
        : "failed with \(process.terminationStatus)"
      throw CommandFailure(.noInput, "\(script) \(reason)")
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
