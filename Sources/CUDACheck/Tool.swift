import Foundation

/// Other programs that the checks call.
enum Tool {
  /// What of a program's words is wanted.
  enum Channel { case output, errors }

  /// Runs a program, found by `PATH`, to its end: its exit status and what it wrote.
  static func run(_ program: String, _ arguments: [String], reading channel: Channel) throws -> (
    status: Int32, text: String
  ) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [program] + arguments
    let pipe = Pipe()
    switch channel {
    case .output: process.standardOutput = pipe
    case .errors: process.standardError = pipe
    }
    try process.run()
    let text = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: text, as: UTF8.self))
  }
}
