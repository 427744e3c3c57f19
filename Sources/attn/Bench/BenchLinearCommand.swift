import ArgumentParser
import Devices
import Tensors

struct BenchLinearCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "linear",
    abstract: "Linear layers of every stored type against this machine's bandwidth and arithmetic.")

  @OptionGroup var table: TableOptions

  @Option(help: "Worker threads (ATTENTION_THREADS; default: all processors).")
  var threads: Int?

  @Option(parsing: .upToNextOption, help: "Rows of activations, M.")
  var rows = [1, 4, 32, 512]

  @Option(help: "Outputs, N.")
  var outputs = 2_048

  @Option(help: "Inputs, K.")
  var inputs = 2_048

  @Option(parsing: .upToNextOption, help: "Stored types, for example Q4_1 (default: all).")
  var types: [String] = []

  struct Row: Encodable {
    var type: String
    var rows: Int
    var outputs: Int
    var inputs: Int
    var threads: Int
    var instructionSet: String
    var gigabytesPerSecond: Double
    var gigaflopsPerSecond: Double
    var readGigabytesPerSecond: Double
    var peakGigaflopsPerSecond: Double
  }

  func run() throws {
    try reportingErrors {
      guard rows.allSatisfy({ (1...1 << 16).contains($0) }), (1...1 << 16).contains(outputs),
        (1...1 << 16).contains(inputs)
      else { throw ValidationError("--rows, --outputs and --inputs take numbers from 1 to 65536") }
      let device = try CPUDevice(threads: threads)
      let chosen = try chosenTypes()
      let read = device.readBandwidth() / 1e9
      let peak = device.fmaPeak() / 1e9
      var result: [Row] = []
      for type in chosen {
        for one in try device.benchmarkLinear(type, rows: rows, outputs: outputs, inputs: inputs) {
          result.append(
            Row(
              type: type.rawValue, rows: one.rows, outputs: outputs, inputs: inputs,
              threads: device.pool.count, instructionSet: device.instructionSet.rawValue,
              gigabytesPerSecond: one.bandwidth / 1e9, gigaflopsPerSecond: one.operations / 1e9,
              readGigabytesPerSecond: read, peakGigaflopsPerSecond: peak))
        }
      }
      try table.print(
        result,
        columns: [
          ("type", { $0.type }), ("M", { String($0.rows) }), ("N", { String($0.outputs) }),
          ("K", { String($0.inputs) }), ("threads", { String($0.threads) }),
          ("GB/s", { $0.gigabytesPerSecond.rounded1 }),
          ("GFLOP/s", { $0.gigaflopsPerSecond.rounded1 }),
          ("read GB/s", { $0.readGigabytesPerSecond.rounded1 }),
          ("peak GFLOP/s", { $0.peakGigaflopsPerSecond.rounded1 }),
        ])
    }
  }

  private func chosenTypes() throws -> [ElementType] {
    let supported = ElementType.allCases.filter(LinearWeights.supports)
    guard !types.isEmpty else { return supported }
    return try types.map { name in
      guard let type = supported.first(where: { $0.rawValue == name.uppercased() }) else {
        throw ValidationError(
          "\(name) is no type of linear layers; expected one of "
            + supported.map(\.rawValue).joined(separator: ", "))
      }
      return type
    }
  }
}
