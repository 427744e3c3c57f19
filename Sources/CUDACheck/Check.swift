import Attention
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
      + EngineCase.all.map { engine in
        Check(name: engine.name, architecture: .sm80, isFor: { _ in true }) {
          let share = try engine.check($0)
          return (share == 0, "\(share) of the tokens differ")
        }
      }
      + EngineFailureCase.all.map { failure in
        Check(name: failure.name, architecture: .sm80, isFor: { _ in true }) {
          let isRight = try failure.check($0)
          return (isRight, isRight ? "sequences end, the engine goes on" : "other tokens")
        }
      }
      + SessionCase.all.map { session in
        Check(name: session.name, architecture: .sm80, isFor: { _ in true }) {
          let share = try session.check($0)
          return (share == 0, "\(share) of the tokens differ")
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
      + FileCase.all.map { model in
        Check(name: "file-\(model.name)", architecture: .sm80, isFor: { _ in true }) {
          let (error, tokens) = try model.check($0)
          return (error <= FileCase.limit, "logits \(error), tokens \(tokens)")
        }
      } + benchmarks
  }

  /// The benchmark's own comparisons, on lengths whose times mean nothing.
  static var benchmarks: [Check] {
    ["decode", "prefill", "latent", "fp8", "pages", "prefix", "start", "plan"].map { part in
      Check(name: "bench-\(part)", architecture: .sm90a, isFor: { _ in true }) { device in
        let benchmark = try CUDABenchmark(
          device.context, host: device.host,
          sizes: device.isEmulated ? .tiny : .short,
          products: nil, wanted: { $0 == part }, loaders: [("kept", { device.module })],
          module: device.module)
        try benchmark.run()
        let rows = benchmark.rows.filter { $0.part == part }
        return (
          !rows.isEmpty && rows.allSatisfy(\.isRight),
          "\(rows.count) rows, error \(rows.compactMap(\.error).max() ?? 0)"
        )
      }
    }
  }

  /// Does the checks whose name contains a filter, and prints a line for each; whether all were right.
  ///
  /// - Parameter architecture: A device's, which some checks are not for.
  static func run(
    _ filter: String, on architecture: CUDAArchitecture? = nil,
    _ body: (Check) throws -> (isRight: Bool, what: String)
  ) -> Bool {
    var (count, failures, skipped) = (0, 0, 0)
    for check in all where filter.isEmpty || check.name.contains(filter) {
      if let architecture, !check.isFor(architecture) {
        skipped += 1
        continue
      }
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
    let others = skipped > 0 ? ", \(skipped) for other devices" : ""
    print("\(count) cases, \(failures) wrong\(others)")
    return failures == 0 && count > 0
  }
}
