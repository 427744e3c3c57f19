import ArgumentParser
import Devices

/// The processor that a command computes on.
struct ThreadOptions: ParsableArguments {
  @Option(
    help: "Worker threads (ATTENTION_THREADS; default: all processors, or this rank's share).")
  var threads: Int?

  func device() throws -> CPUDevice { try CPUDevice(threads: threads) }
}
