import ArgumentParser
import Serving

/// What clients may use up.
struct LimitOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The largest body of a request.", valueName: "MiB"))
  var maxBody = 16

  @Option(help: "Open connections; further ones wait.")
  var maxConnections = 4096

  @Option(help: "Choices of one request, over all its prompts.")
  var maxChoices = 128

  @Option(
    help: ArgumentHelp("How long the first token may take; 0 for ever.", valueName: "seconds"))
  var firstTokenTimeout = 600.0

  @Option(help: ArgumentHelp("How long a connection may be idle.", valueName: "seconds"))
  var idleTimeout = 75.0

  @Option(
    help: ArgumentHelp(
      "How long accepted requests may go on after SIGTERM or SIGINT.", valueName: "seconds"))
  var drainTimeout = 30.0

  @Option(
    help: ArgumentHelp(
      "How long a stream may be silent before a comment is sent.", valueName: "seconds"))
  var keepAlive = 15.0

  @Option(
    help: ArgumentHelp("How often the throughput is logged; 0 for never.", valueName: "seconds"))
  var throughputInterval = 10.0

  func apply(to options: inout ServerOptions) throws {
    func positive(_ name: String, _ value: some Comparable & Numeric) throws {
      guard value > 0 else { throw ValidationError("--\(name) is \(value); expected more than 0") }
    }
    try positive("max-body", maxBody)
    try positive("max-connections", maxConnections)
    try positive("max-choices", maxChoices)
    try positive("idle-timeout", idleTimeout)
    try positive("keep-alive", keepAlive)
    for (name, value) in [
      ("first-token-timeout", firstTokenTimeout), ("drain-timeout", drainTimeout),
      ("throughput-interval", throughputInterval),
    ] where !(value >= 0 && value < 1e9) {
      throw ValidationError("--\(name) is \(value); expected at least 0")
    }
    guard maxBody <= 1024 else {
      throw ValidationError("--max-body is \(maxBody) MiB; expected at most 1024")
    }
    options.limits.body = maxBody << 20
    options.limits.connections = maxConnections
    options.limits.choices = maxChoices
    options.limits.firstToken = firstTokenTimeout > 0 ? .seconds(firstTokenTimeout) : nil
    options.limits.idle = .seconds(min(idleTimeout, 1e9))
    options.drain = .seconds(drainTimeout)
    options.keepAlive = .seconds(min(keepAlive, 1e9))
    options.throughputInterval = throughputInterval > 0 ? .seconds(throughputInterval) : nil
  }
}
