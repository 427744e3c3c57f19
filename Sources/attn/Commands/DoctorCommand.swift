import ArgumentParser
import Devices
import ModelStore

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor",
    abstract: "Say what this machine has and what the engine will use.")

  @Flag(help: "Print one JSON object.")
  var json = false

  @OptionGroup var place: ThreadOptions

  struct Report: Encodable {
    var instructionSet: String
    var instructionSets: [String]
    var threads: Int
    var readBandwidthGBPerSecond: Double
    var fmaGFLOPPerSecond: Double
    var cuda: String
    var mpi: String
    var cache: String
    var models: [Model]

    struct Model: Encodable {
      var name: String
      var state: String
      var path: String?
    }
  }

  func run() throws {
    try reportingErrors {
      let report = try report()
      if json { return try Terminal.printJSON(report) }
      let models = report.models.map { model in
        "  \(model.name): \(model.state)\(model.path.map { " · " + $0 } ?? "")"
      }
      Terminal.write(
        """
        instruction set  \(report.instructionSet) (has \(report.instructionSets.joined(separator: ", ")))
        threads          \(report.threads)
        memory read      \(report.readBandwidthGBPerSecond.rounded1) GB/s with all threads
        arithmetic       \(report.fmaGFLOPPerSecond.rounded1) GFLOP/s, 32-bit multiply-add
        CUDA             \(report.cuda)
        MPI              \(report.mpi)
        cache            \(report.cache)
        models
        \(models.joined(separator: "\n"))

        """)
    }
  }

  private func report() throws -> Report {
    let device = try place.device()
    let store = ModelStore()
    return Report(
      instructionSet: device.instructionSet.rawValue,
      instructionSets: InstructionSet.available.map(\.rawValue),
      threads: device.pool.count,
      readBandwidthGBPerSecond: device.readBandwidth() / 1e9,
      fmaGFLOPPerSecond: device.fmaPeak() / 1e9,
      cuda: Self.cuda(),
      mpi: Self.mpi(),
      cache: store.cache,
      models: Self.models(store))
  }

  private static func cuda() -> String {
    do throws(CUDAFailure) {
      let driver = try CUDADriver()
      let devices = driver.devices.map { device in
        let capability = device.computeCapability.map(String.init).joined(separator: ".")
        return "\(device.name), \(device.memory >> 30) GiB, compute capability \(capability)"
      }
      let found = devices.joined(separator: "; ")
      do throws(CUDAFailure) {
        _ = try CUDADevice(cache: CUDAKernelCache(directory: nil))
        return found + " (runs models)"
      } catch {
        return found + " (not used: \(error))"
      }
    } catch {
      return "not used: \(error)"
    }
  }

  private static func mpi() -> String {
    do throws(MPI.Failure) { return try MPI.availableLibrary() } catch {
      return "not used: \(error)"
    }
  }

  private static func models(_ store: ModelStore) -> [Report.Model] {
    let cached = store.cached
    let known = store.knownModels.map { model in
      let path = cached.first { $0.name == model.name }?.path
      return Report.Model(
        name: model.name, state: path == nil ? "\(model.size >> 20) MiB to fetch" : "ready",
        path: path)
    }
    let others = cached.filter { model in !known.contains { $0.name == model.name } }
    return known + others.map { Report.Model(name: $0.name, state: "ready", path: $0.path) }
  }
}
