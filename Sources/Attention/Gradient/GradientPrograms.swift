/// A variant as the backward pass runs it: its logits again, and beside them their derivatives.
final class GradientPrograms {
  /// What a derivative is by.
  enum Parameter: Sendable, Hashable, BitwiseCopyable {
    /// A scalar parameter's number.
    case scalar(Int)
    /// A per-head vector's number.
    case perHead(Int)
  }

  /// The variant's own programs, from whose masks and tensors these are made.
  let code: VariantCode
  /// The parameters that logits or sinks depend on.
  let parameters: [Parameter]
  /// Logits and the part of the mask that bounds do not cover; logits alone, for tiles in which
  /// every score counts.
  let masked: ScoreProgram
  let unmasked: ScoreProgram
  /// Whether ∂ logits / ∂ score is not 1; it is then the first result of the programs.
  let hasSlope: Bool
  /// The parameters, by their places in `parameters`, whose derivatives the further results are.
  let scoreParameters = Section<Int>()
  /// Of each attention sink: its logit, and the derivative by each of `parameters`.
  let sinks: ScalarProgram.Executable
  /// Registers that the largest scalar program needs.
  let scalarCount: Int

  init(_ variant: AttentionVariant, _ code: VariantCode, withParameters: Bool) {
    self.code = code
    func resolved(_ expression: Expression) -> Expression {
      expression.resolving(variant.parameters, bound: code.bound)
    }
    let logits = resolved(variant.logitsExpression)
    let sinkLogits = variant.functors.filter { $0.kind == .sink }.map(\.expression)
    let slope = logits.derivative(by: .score)
    hasSlope = slope != .constant(1)

    let leaves: [(Parameter, Expression)] =
      variant.parameters.scalars.indices.filter { variant.parameters.scalars[$0] != nil }
      .map { (.scalar($0), .parameter($0)) }
      + variant.parameters.vectors.indices.map { (.perHead($0), .perHead($0)) }
    var parameters: [Parameter] = []
    var scoreDerivatives: [Expression] = []
    var sinkDerivatives: [[Expression]] = sinkLogits.map { _ in [] }
    for (parameter, leaf) in withParameters ? leaves : [] {
      let byLogits = resolved(variant.logitsExpression.derivative(by: leaf))
      let bySinks = sinkLogits.map { resolved($0.derivative(by: leaf)) }
      if ([byLogits] + bySinks).allSatisfy({ $0 == .constant(0) }) { continue }
      if byLogits != .constant(0) {
        scoreParameters.append(parameters.count)
        scoreDerivatives.append(byLogits)
      }
      for (i, derivative) in bySinks.enumerated() { sinkDerivatives[i].append(derivative) }
      parameters.append(parameter)
    }
    self.parameters = parameters
    let results = (hasSlope ? [slope] : []) + scoreDerivatives
    masked = ScoreProgram(
      BlockProgram(logits: logits, mask: code.residual, beside: results), compiles: code.compiles)
    unmasked = ScoreProgram(
      BlockProgram(logits: logits, mask: nil, beside: results), compiles: code.compiles)

    var sinks = ScalarProgram()
    for (logit, derivatives) in zip(sinkLogits, sinkDerivatives) {
      sinks.addOutput(resolved(logit))
      for derivative in derivatives { sinks.addOutput(derivative) }
    }
    self.sinks = ScalarProgram.Executable(sinks)
    scalarCount =
      [
        masked.view.program.tokens.count, unmasked.view.program.tokens.count, sinks.steps.count,
      ].max() ?? 0
  }
}

/// A block program over scores with results beside them.
final class ScoreProgram {
  private let program: BlockProgram.Executable
  private let results = Section<Int>()

  init(_ program: BlockProgram, compiles: Bool) {
    let layout = compiles ? TileLayout(gradientOf: program.registerCount) : nil
    self.program = BlockProgram.Executable(program, compiledFor: layout)
    results.assign(program.results)
  }

  static func rowGroup(registers: Int) -> Int {
    max(4, 6_144 / (GradientWorkspace.scorePitch * (registers + 2)))
  }

  /// What a thread needs.
  struct View {
    let program: BlockProgram.View
    /// The registers of the results.
    let results: UnsafePointer<Int>

    /// The rows that go through the program together, so that they stay in the first cache.
    var rowGroup: Int { ScoreProgram.rowGroup(registers: program.registerCount) }

    /// Floats of one register.
    var registerSize: Int { rowGroup * GradientWorkspace.scorePitch }
  }

  var view: View { View(program: program.view, results: results.base) }
  var columnCount: Int { program.columnCount }
}
