import ArgumentParser

/// What a benchmark measures, and how often.
struct MeasurementOptions: ParsableArguments {
  @Option(help: "Measurements of each row, the median of which counts.")
  var rounds = 7

  @Option(help: "Only rows whose name contains this.")
  var filter: String?

  func validate() throws {
    guard rounds > 0 else { throw ValidationError("--rounds takes numbers of at least 1") }
  }

  /// Whether a row is asked for.
  func includes(_ name: String) -> Bool { filter.map(name.contains) ?? true }
}
