import Foundation

/// This program as a server in a process of its own, ended with this value's scope.
final class ChildServer {
  private let process = Process()
  private let log = Pipe()
  /// Where it listens.
  private(set) var url = ""

  /// Starts `attn serve` on a free port and waits until it is ready.
  ///
  /// - Parameter arguments: further arguments of `attn serve`.
  init(_ arguments: [String]) throws {
    process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    process.arguments = ["serve", "--port", "0"] + arguments
    process.standardError = log
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    var text = ""
    while url.isEmpty {
      let data = log.fileHandleForReading.availableData
      if data.isEmpty {
        stop()
        throw CommandFailure(.noInput, "the server did not start: \(text.suffix(500))")
      }
      text += String(decoding: data, as: UTF8.self)
      if let match = text.firstMatch(of: /(http:\/\/[^\s\/]+)\/v1\//) {
        url = String(match.1)
      }
    }
    // The log is read on, so that the server never waits for it.
    log.fileHandleForReading.readabilityHandler = { _ = $0.availableData }
  }

  /// Ends the server.
  func stop() {
    log.fileHandleForReading.readabilityHandler = nil
    if process.isRunning { process.terminate() }
    process.waitUntilExit()
  }
}
