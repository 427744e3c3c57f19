import ArgumentParser
import Foundation

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure this machine and what the engine makes of it.",
    discussion: "Figures mean something on an idle machine only.",
    subcommands: [
      BenchModelCommand.self, BenchKernelCommand.self, BenchCUDACommand.self,
      BenchGoalsCommand.self,
      BenchLinearCommand.self,
      BenchWorkloadCommand.self, BenchPrefixCommand.self, BenchPlanCommand.self,
      BenchPerplexityCommand.self,
      BenchVariantCommand.self, BenchSampleCommand.self, BenchGradientCommand.self,
      BenchEngineCommand.self, BenchConstraintCommand.self, BenchServeCommand.self,
    ],
    defaultSubcommand: BenchModelCommand.self)
}

/// How a table is printed.
enum TableFormat: String, CaseIterable, ExpressibleByArgument {
  case md
  case csv
  case json
}

/// The options of every benchmark's output.
struct TableOptions: ParsableArguments {
  @Option(help: "How rows are printed: md, csv or json.")
  var output = TableFormat.md

  @Flag(help: "The same as --output json.")
  var json = false

  /// Whether a program reads the columns.
  var isCSV: Bool { !json && output == .csv }

  /// Prints rows that share their columns.
  func print<Row: Encodable>(_ rows: [Row], columns: [(name: String, value: (Row) -> String)])
    throws
  {
    switch json ? .json : output {
    case .json: try Terminal.printJSON(rows)
    case .csv:
      let lines = [columns.map(\.name)] + rows.map { row in columns.map { $0.value(row) } }
      for line in lines { Terminal.write(line.joined(separator: ",") + "\n") }
    case .md:
      let lines = [columns.map(\.name)] + rows.map { row in columns.map { $0.value(row) } }
      let widths = columns.indices.map { i in lines.map { $0[i].count }.max() ?? 0 }
      for (i, line) in lines.enumerated() {
        let cells = zip(line, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }
        Terminal.write("| \(cells.joined(separator: " | ")) |\n")
        if i == 0 {
          let rule = widths.map { String(repeating: "-", count: $0) }
          Terminal.write("| \(rule.joined(separator: " | ")) |\n")
        }
      }
    }
  }
}

/// The value below which a share of some numbers lies, by linear interpolation; 0 of none.
func percentile(_ values: [Double], _ share: Double) -> Double {
  let sorted = values.sorted()
  guard let last = sorted.last else { return 0 }
  let place = share * Double(sorted.count - 1)
  let below = Int(place)
  guard below + 1 < sorted.count else { return last }
  return sorted[below] + (place - Double(below)) * (sorted[below + 1] - sorted[below])
}
