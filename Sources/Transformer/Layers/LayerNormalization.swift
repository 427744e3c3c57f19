internal import Devices
internal import Tensors

/// Layer normalisation (arXiv 1607.06450) with learned factors and terms.
struct LayerNormalization {
  let parameters: ParameterLayout.Linear

  struct Record {
    /// What was normalised.
    var input: MatrixView
    var statistics: MatrixView
  }

  /// The norm of x, or of x + delta; `delta` becomes the sum.
  func forward(_ x: MatrixView, adding delta: MatrixView?, _ step: Step) -> (MatrixView, Record) {
    let y = step.arena.matrix(x.rows, x.columns)
    let record = Record(input: delta ?? x, statistics: step.arena.matrix(x.rows, 2))
    step.device.layerNorm(
      x, adding: delta, sum: record.input, weight: step.weights.base(parameters.weight),
      bias: step.weights.base(parameters.bias), epsilon: TransformerConfiguration.normEpsilon,
      into: y, statistics: record.statistics)
    return (y, record)
  }

  /// `gradient` by the result becomes that by what was normalised.
  func backward(_ gradient: MatrixView, _ record: Record, _ step: Step) {
    step.device.layerNormGradient(
      gradient, of: record.input, statistics: record.statistics,
      weight: step.weights.base(parameters.weight),
      weightGradient: step.gradients.base(parameters.weight),
      biasGradient: step.gradients.base(parameters.bias))
  }
}
