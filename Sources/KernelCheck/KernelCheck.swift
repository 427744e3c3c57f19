import Devices
import Glibc

/// Checks the kernels of this processor's instruction-set levels against results in Double.
///
///     kernel-check                  every level that the processor has
///     kernel-check --best avx2      and that avx2 is the best of them
///     ATTENTION_ISA=avx2 kernel-check   that level alone
///
/// Starts no thread and needs no library, so that it runs on an emulated processor; see
/// `scripts/test-isa`. Prints a line for each level; the exit status is 1 where anything is wrong.
@main
enum KernelCheck {
  static func main() {
    do {
      try checkBest()
      var failures = 0
      for device in try devices() {
        let tally = try Checker.run(device)
        print(tally.summary)
        failures += tally.failures
      }
      exit(failures == 0 ? 0 : 1)
    } catch {
      print("kernel-check: \(error)")
      exit(1)
    }
  }

  /// The level that `ATTENTION_ISA` names, else every one.
  private static func devices() throws -> [CPUDevice] {
    let chosen = try CPUDevice(threads: 1)
    if getenv("ATTENTION_ISA") != nil { return [chosen] }
    return try InstructionSet.available.map { try CPUDevice(threads: 1, instructionSet: $0) }
  }

  /// Why the check cannot be what the caller wants.
  private enum Failure: Error, CustomStringConvertible {
    case usage
    case best(expected: String)

    var description: String {
      switch self {
      case .usage: "expected no arguments, or --best and the name of a level"
      case .best(let expected):
        "the best level of this processor is \(InstructionSet.best.rawValue), expected \(expected)"
      }
    }
  }

  private static func checkBest() throws(Failure) {
    let arguments = CommandLine.arguments.dropFirst()
    if arguments.isEmpty { return }
    guard arguments.count == 2, arguments.first == "--best", let name = arguments.last else {
      throw .usage
    }
    if InstructionSet.best.rawValue != name { throw .best(expected: name) }
  }
}
