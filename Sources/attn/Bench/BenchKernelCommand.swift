import ArgumentParser

struct BenchKernelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernel", abstract: "Attention against this machine's bandwidth and arithmetic.")
}
