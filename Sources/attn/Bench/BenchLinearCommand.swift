import ArgumentParser
import Devices
import Tensors

struct BenchLinearCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "linear",
    abstract: "Linear layers of every stored type against this machine's bandwidth and arithmetic.",
    discussion: """
      The peak is that of the instruction that multiplies: 32-bit fused multiply-adds where \
      activations stay floats, dot products of bfloat16 pairs or of 8-bit integers where they are \
      rounded (--precision fast). Weights are read from memory: as many matrices as --working-set \
      holds take turns. Rates are of medians.
      """)

  @OptionGroup var table: TableOptions
  @OptionGroup var place: ThreadOptions

  @Option(parsing: .upToNextOption, help: "Rows of activations, M.")
  var rows = [1, 4, 32, 512]

  @Option(help: "Outputs, N.")
  var outputs = 2_048

  @Option(help: "Inputs, K.")
  var inputs = 2_048

  @Option(parsing: .upToNextOption, help: "exact, fast or both.")
  var precision = PrecisionName.allCases

  @Option(help: "MiB of weights that take turns; 0 for one matrix that stays in the cache.")
  var workingSet = 256

  @Option(parsing: .upToNextOption, help: "Stored types, for example Q4_1 (default: all).")
  var types: [String] = []

  struct Row: Encodable {
    var type: String
    var precision: PrecisionName
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
        (1...1 << 16).contains(inputs), (0...1 << 16).contains(workingSet)
      else {
        throw ValidationError(
          "--rows, --outputs and --inputs take numbers from 1 to 65536, --working-set from 0")
      }
      let device = try place.device()
      let chosen = try chosenTypes()
      let read = device.readBandwidth() / 1e9
      let peaks = (device.fmaPeak(), device.fmaPeak(pairs: true), device.bytePeak())
      var result: [Row] = []
      for type in chosen {
        for precision in precision {
          let measured = try device.benchmarkLinear(
            type, precision: precision.linear, rows: rows, outputs: outputs, inputs: inputs,
            workingSet: workingSet << 20)
          for one in measured {
            let peak = !one.isRounded ? peaks.0 : type.isQuantized ? peaks.2 : peaks.1
            result.append(
              Row(
                type: type.rawValue, precision: precision, rows: one.rows, outputs: outputs,
                inputs: inputs, threads: device.pool.count,
                instructionSet: device.instructionSet.rawValue,
                gigabytesPerSecond: one.bandwidth / 1e9,
                gigaflopsPerSecond: one.operations / 1e9,
                readGigabytesPerSecond: read, peakGigaflopsPerSecond: peak / 1e9))
          }
        }
      }
      try table.print(
        result,
        columns: [
          ("type", { $0.type }), ("precision", { $0.precision.rawValue }),
          ("M", { String($0.rows) }), ("N", { String($0.outputs) }),
          ("K", { String($0.inputs) }), ("threads", { String($0.threads) }),
          ("GB/s", { $0.gigabytesPerSecond.rounded1 }),
          ("GFLOP/s", { $0.gigaflopsPerSecond.rounded1 }),
          ("read GB/s", { $0.readGigabytesPerSecond.rounded1 }),
          ("peak GFLOP/s", { $0.peakGigaflopsPerSecond.rounded1 }),
          (
            "of peak",
            { ($0.gigaflopsPerSecond / $0.peakGigaflopsPerSecond * 100).rounded1 + " %" }
          ),
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
