/// A variant as the backward pass runs it: its logits again, and their derivatives.
final class GradientPrograms {
  /// What a derivative is by.
  enum Parameter: Sendable, Hashable, BitwiseCopyable {
    /// A scalar parameter's number.
    case scalar(Int)
    /// A per-head vector's number.
    case perHead(Int)
  }

  /// Logits, and the part of the mask that bounds do not cover.
  let logits: TileProgram.Executable
  /// Logits alone, for tiles in which every score counts.
  let unmasked: TileProgram.Executable
  /// d logits / d score; `nil` where it is 1.
  let slope: TileProgram.Executable?
  /// d logits / d parameter, for the parameters that logits depend on.
  let parameters: [(parameter: Parameter, program: TileProgram.Executable)]
  /// `parameters`' programs for threads to read.
  let parameterViews = Section<TileProgram.View>()

  let bounds: MaskBounds
  let boundList = Section<MaskBounds.Bound>()

  /// Registers that the largest program needs.
  let scalarCount: Int
  let vectorCount: Int

  init(_ variant: AttentionVariant, queryHeads: Int, withParameters: Bool) {
    let values = variant.parameters
    bounds = MaskBounds(variant.maskExpression.resolving(values))
    boundList.assign(bounds.bounds)
    func program(_ logits: Expression, mask: Expression? = nil) -> TileProgram.Executable {
      TileProgram.Executable(
        TileProgram(logits: logits, mask: mask), vectors: values.vectors, heads: queryHeads)
    }
    let resolved = variant.logitsExpression.resolving(values)
    logits = program(resolved, mask: bounds.residual)
    unmasked = program(resolved)
    let derivative = resolved.derivative(by: .score)
    slope = derivative == .constant(1) ? nil : program(derivative)

    let all: [(Parameter, Expression)] =
      values.scalars.indices.map { (.scalar($0), .parameter($0)) }
      + values.vectors.indices.map { (.perHead($0), .perHead($0)) }
    parameters = (withParameters ? all : []).compactMap { parameter, leaf in
      let derivative = variant.logitsExpression.derivative(by: leaf).resolving(values)
      return derivative == .constant(0) ? nil : (parameter, program(derivative))
    }
    parameterViews.assign(parameters.map(\.program.view))
    let programs = [logits, unmasked] + parameters.map(\.program) + (slope.map { [$0] } ?? [])
    scalarCount = programs.map(\.scalarCount).max() ?? 0
    vectorCount = programs.map(\.vectorCount).max() ?? 1
  }
}
