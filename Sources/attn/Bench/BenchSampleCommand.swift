import ArgumentParser
import Devices

struct BenchSampleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sample",
    abstract: "Drawing one token from a vocabulary's logits.")

  @OptionGroup var table: TableOptions
  @OptionGroup var place: ThreadOptions

  @Option(parsing: .upToNextOption, help: "Tokens of a vocabulary.")
  var vocabulary = [49_152, 151_936]

  struct Row: Encodable {
    var logits: String
    var vocabulary: Int
    var setting: String
    var instructionSet: String
    var microseconds: Double
  }

  func run() throws {
    try reportingErrors {
      guard vocabulary.allSatisfy({ (1...1 << 24).contains($0) }) else {
        throw ValidationError("--vocabulary takes numbers from 1 to \(1 << 24)")
      }
      let device = try place.device()
      let rows = try vocabulary.flatMap { count in
        try device.benchmarkSampling(vocabulary: count).map {
          Row(
            logits: $0.distribution, vocabulary: count, setting: $0.setting,
            instructionSet: device.instructionSet.rawValue, microseconds: $0.seconds * 1e6)
        }
      }
      try table.print(
        rows,
        columns: [
          ("logits", { $0.logits }), ("vocabulary", { String($0.vocabulary) }),
          ("setting", { $0.setting }), ("µs", { $0.microseconds.rounded1 }),
        ])
    }
  }
}
