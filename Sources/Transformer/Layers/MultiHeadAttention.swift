internal import Attention
internal import Devices
internal import Tensors

/// §3.2.2: heads attend side by side, their outputs are concatenated and projected.
///
/// Self-attention projects queries, keys and values in one product; attention over a memory (the
/// encoder's output) projects its queries from x and the others from the memory.
struct MultiHeadAttention: SublayerFunction {
  let parameters: ParameterLayout.Attention
  let attention: DifferentiableAttention
  /// The encoder's output and where its gradient is added up; `nil` for self-attention.
  let memory: (value: MatrixView, gradient: MatrixView)?

  struct Record {
    var input: MatrixView
    /// Projections: all three of x, or the queries of x.
    var projected: MatrixView
    /// Keys and values of the memory.
    var remembered: MatrixView?
    var output: MatrixView
    var lse: MatrixView
  }

  /// The columns of queries, keys and values in `in_proj_weight`.
  private func columns(_ c: TransformerConfiguration) -> (q: Range<Int>, kv: Range<Int>, Int) {
    let all = 2 * c.keyColumns + c.valueColumns
    return (0..<c.keyColumns, c.keyColumns..<all, all)
  }

  /// Queries, keys and values, or their gradients, as parts of the projections.
  private func parts(
    _ projected: MatrixView, _ remembered: MatrixView?, _ c: TransformerConfiguration
  ) -> (q: MatrixView, k: MatrixView, v: MatrixView) {
    let kv = remembered ?? projected.columns(c.keyColumns..<projected.columns)
    return (
      projected.columns(0..<c.keyColumns), kv.columns(0..<c.keyColumns),
      kv.columns(c.keyColumns..<c.keyColumns + c.valueColumns)
    )
  }

  private func project(
    _ x: MatrixView, _ outputs: Range<Int>, _ step: Step
  ) -> MatrixView {
    let y = step.arena.matrix(x.rows, outputs.count)
    step.linear(
      x,
      step.weights.matrix(
        parameters.inWeight, outputs.count, x.columns, from: outputs.lowerBound),
      bias: parameters.inBias + outputs.lowerBound, into: y)
    return y
  }

  func forward(_ x: MatrixView, _ step: Step) throws(DifferentiableAttention.Failure) -> (
    MatrixView, Record
  ) {
    let c = step.configuration
    let (queries, rest, all) = columns(c)
    let projected = project(x, memory == nil ? 0..<all : queries, step)
    let remembered = memory.map { project($0.value, rest, step) }
    let (q, k, v) = parts(projected, remembered, c)
    let output = step.arena.matrix(x.rows, c.valueColumns)
    let lse = step.arena.matrix(x.rows, c.heads)
    try attention.forward(queries: q, keys: k, values: v, output: output, lse: lse)
    let y = step.arena.matrix(x.rows, c.modelDimension)
    step.linear(
      output, step.weights.matrix(parameters.outWeight, c.modelDimension, c.valueColumns),
      bias: parameters.outBias, into: y)
    return (
      y,
      Record(input: x, projected: projected, remembered: remembered, output: output, lse: lse)
    )
  }

  func backward(_ dy: MatrixView, _ record: Record, _ step: Step, into dx: MatrixView)
    throws(DifferentiableAttention.Failure)
  {
    let c = step.configuration
    let (queries, rest, all) = columns(c)
    let outputGradient = step.arena.matrix(dy.rows, c.valueColumns)
    step.linearGradient(
      dy, of: record.output, weight: parameters.outWeight, bias: parameters.outBias,
      outputs: 0..<c.modelDimension, inputs: c.valueColumns, into: outputGradient)
    let projected = step.arena.matrix(record.projected.rows, record.projected.columns)
    let remembered = record.remembered.map { step.arena.matrix($0.rows, $0.columns) }
    let (q, k, v) = parts(record.projected, record.remembered, c)
    let (dq, dk, dv) = parts(projected, remembered, c)
    try attention.backward(
      queries: q, keys: k, values: v, output: record.output, lse: record.lse,
      outputGradient: outputGradient, queryGradient: dq, keyGradient: dk, valueGradient: dv)
    step.linearGradient(
      projected, of: record.input, weight: parameters.inWeight, bias: parameters.inBias,
      outputs: memory == nil ? 0..<all : queries, inputs: c.modelDimension, into: dx)
    if let memory, let remembered {
      step.linearGradient(
        remembered, of: memory.value, weight: parameters.inWeight, bias: parameters.inBias,
        outputs: rest, inputs: c.modelDimension, into: memory.gradient, accumulate: true)
    }
  }
}
