import ArgumentParser
import Attention
import Devices
import Foundation
import Tensors

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Draw how a batch is distributed over workers.",
    discussion: """
      Prints, for every rule of scheduling, the longest queue over the least that is possible, the \
      number of chunks, the partial tiles and the bytes that they leave; --output draws the queues \
      as SVG. Costs are in the planner's units. line is what plans use, longestFirst the paper's \
      Algorithm 1, "paper tiles" the same with query tiles of the batch's average length, invariant \
      the batch-invariant mode.
      """)

  @Option(help: "Tokens of each request, for example 8192,1024*3.")
  var lengths: String

  @Option(help: "New tokens of each request (default: 1; one number counts for all).")
  var queryLengths = "1"

  @Option(help: "Workers; several numbers give several tables.")
  var workers = "2"

  @Option(help: "Query heads for each key/value head.")
  var group = 4

  @Option(help: "Key/value heads.")
  var kvHeads = 8

  @Option(help: "Elements of a head.")
  var headDimension = 128

  @Option(help: "Tokens that all requests begin with, in pages of 16.")
  var sharedPrefix = 0

  @Option(help: "The rule that is drawn: line, longestFirst or invariant.")
  var rule = Schedule.Rule.line

  @Option(help: "Where the drawing goes, for example plan.svg.")
  var output: String?

  func run() throws {
    try reportingErrors {
      let lengths = try Self.numbers(self.lengths, "--lengths", 0...1 << 24)
      var queries = try Self.numbers(queryLengths, "--query-lengths", 0...1 << 20)
      if queries.count == 1 { queries = [Int](repeating: queries[0], count: lengths.count) }
      guard queries.count == lengths.count else {
        throw ValidationError(
          "--query-lengths has \(queries.count) numbers, --lengths \(lengths.count)")
      }
      let counts = try Self.numbers(workers, "--workers", 1...65_535)
      let batch = try batch(lengths, queries)
      let device = try CPUDevice(threads: 1)
      Terminal.write(
        "\(lengths.count) requests, \(lengths.reduce(0, +)) keys, "
          + "\(queries.reduce(0, +)) queries, \(kvHeads) key/value heads x \(group)\n")
      for workers in counts {
        Terminal.write("\n\(workers) workers\n")
        for (name, rule, tiles) in [
          ("line", Schedule.Rule.line, AttentionPlan.TileRule.ofRequest),
          ("longestFirst", .longestFirst, .ofRequest), ("paper tiles", .longestFirst, .ofAverage),
          ("invariant", .invariant, .ofRequest),
        ] {
          let plan = try plan(batch, workers, rule, tiles, device)
          Terminal.write(row(name, plan) + "\n")
        }
      }
      guard let output, let workers = counts.first else { return }
      let drawing = ScheduleDrawing(
        plan: try plan(batch, workers, rule, .ofRequest, device))
      do {
        try Data(drawing.svg.utf8).write(to: URL(fileURLWithPath: output))
      } catch {
        throw CommandFailure(.data, "cannot write \(output): \(error.localizedDescription)")
      }
    }
  }

  private func plan(
    _ batch: AttentionBatch, _ workers: Int, _ rule: Schedule.Rule,
    _ tiles: AttentionPlan.TileRule, _ device: CPUDevice
  ) throws -> AttentionPlan {
    let plan = try AttentionPlan(
      device: device,
      shape: AttentionShape(
        queryHeads: kvHeads * group, kvHeads: kvHeads, headDimension: headDimension),
      variant: .causal, workers: workers, composition: .automatic, rule: rule, tileRule: tiles,
      bounds: nil)
    try plan.update(batch)
    return plan
  }

  private func row(_ name: String, _ plan: AttentionPlan) -> String {
    let schedule = plan.schedule
    let chunks = (0..<schedule.workers).reduce(0) { $0 + schedule.items(of: $1).count }
    let ratio = Double(schedule.makespan) / Double(max(schedule.lowerBound, 1))
    return name.padding(toLength: 14, withPad: " ", startingAt: 0)
      + String(format: "makespan / bound %.3f", ratio)
      + "  makespan \(schedule.makespan)  tiles \(schedule.allTiles.count)  chunks \(chunks)"
      + "  partial tiles \(schedule.partialTiles)"
      + "  workspace \(schedule.partialStates * (headDimension + 1) * 4) bytes"
  }

  private func batch(_ lengths: [Int], _ queries: [Int]) throws -> AttentionBatch {
    guard sharedPrefix >= 0 else { throw ValidationError("--shared-prefix is negative") }
    let shared = sharedPrefix / 16
    var next = shared
    let requests = lengths.map { length in
      let count = (length + 15) / 16
      let own = max(count - shared, 0)
      defer { next += own }
      return (pages: Array(0..<min(shared, count)) + (next..<next + own), kvLength: length)
    }
    return try AttentionBatch(
      queries: RaggedIndex(lengths: queries), pages: PageTable(requests: requests, pageSize: 16))
  }

  /// Numbers between commas, each perhaps repeated: 8192,1024*3.
  private static func numbers(_ text: String, _ option: String, _ range: ClosedRange<Int>) throws
    -> [Int]
  {
    var numbers: [Int] = []
    for word in text.split(separator: ",", omittingEmptySubsequences: false) {
      let parts = word.split(separator: "*", omittingEmptySubsequences: false)
      guard let value = Int(parts[0]), range.contains(value), parts.count <= 2,
        let count = parts.count == 2 ? Int(parts[1]) : 1, (1...65_536).contains(count),
        numbers.count + count <= 65_536
      else {
        throw ValidationError(
          "\(option): \(word) is no number in \(range.lowerBound) ... \(range.upperBound), "
            + "perhaps with *COUNT")
      }
      numbers += [Int](repeating: value, count: count)
    }
    return numbers
  }
}

extension Schedule.Rule: ExpressibleByArgument {}
