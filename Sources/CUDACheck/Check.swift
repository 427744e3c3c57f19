import Devices
import Glibc

/// A case of any kind, as something to do with a device.
struct Check {
  let name: String
  /// What the emulator plays for it.
  let architecture: CUDAArchitecture
  /// Whether a device of an architecture can do it.
  let isFor: (CUDAArchitecture) -> Bool
  /// Does it, and says whether the numbers are right, and how far off.
  let body: (CheckDevice) throws -> (isRight: Bool, what: String)

  /// All checks, in order.
  static var all: [Check] {
    KernelCase.all.map { kernel in
      Check(name: kernel.name, architecture: kernel.architecture, isFor: kernel.supports) {
        let error = try kernel.check($0)
        return (
          error.output <= kernel.limit && error.lse <= kernel.limit,
          "output \(error.output), log-sum-exp \(error.lse)"
        )
      }
    }
      + OperatorCase.all.map { operators in
        Check(name: operators.name, architecture: .sm80, isFor: { _ in true }) {
          let error = try operators.check(on: $0)
          return (error <= operators.limit, "error \(error)")
        }
      }
      + RunCase.all.map { run in
        Check(
          name: run.scenario.name, architecture: run.scenario.architecture, isFor: { _ in true }
        ) {
          let error = try run.check($0)
          return (error <= 2e-2, "error \(error)")
        }
      }
      + ModelCase.all.map { model in
        Check(
          name: model.name, architecture: model.architecture, isFor: { _ in true }
        ) {
          let error = try model.check($0)
          return (error <= model.limit, "logits \(error)")
        }
      }
  }

  /// Does the checks whose name contains a filter, and prints a line for each; whether all were right.
  static func run(
    _ filter: String, _ body: (Check) throws -> (isRight: Bool, what: String)
  ) -> Bool {
    var (count, failures) = (0, 0)
    for check in all where filter.isEmpty || check.name.contains(filter) {
      count += 1
      do {
        let (isRight, what) = try body(check)
        if !isRight { failures += 1 }
        print("\(isRight ? "ok   " : "WRONG") \(check.name): \(what)")
      } catch {
        failures += 1
        print("WRONG \(check.name): \(error)")
      }
      fflush(nil)
    }
    print("\(count) cases, \(failures) wrong")
    return failures == 0 && count > 0
  }
}
