internal import Attention
internal import Devices
internal import Tensors

/// A function with a backward pass, around which a residual connection goes.
protocol SublayerFunction {
  /// What the backward pass needs of the forward pass.
  associatedtype Record
  /// f(x), and what `backward` needs.
  func forward(_ x: MatrixView, _ step: Step) throws(DifferentiableAttention.Failure) -> (
    MatrixView, Record
  )
  /// The gradient by x, written to `dx`; those by parameters are added to the step's.
  func backward(_ dy: MatrixView, _ record: Record, _ step: Step, into dx: MatrixView)
    throws(DifferentiableAttention.Failure)
}

/// LayerNorm(x + Dropout(f(x))), or with pre-norm x + Dropout(f(LayerNorm(x))) (§3.1, §5.4).
struct Sublayer<Function: SublayerFunction> {
  let function: Function
  let norm: LayerNormalization

  struct Record {
    var norm: LayerNormalization.Record
    var function: Function.Record
    var place: UInt32
  }

  func forward(_ x: MatrixView, _ step: Step) throws(DifferentiableAttention.Failure) -> (
    MatrixView, Record
  ) {
    let place = step.nextPlace()
    switch step.configuration.normalization {
    case .post:
      let (f, record) = try function.forward(x, step)
      step.dropout(f, place: place)
      let (y, normed) = norm.forward(x, adding: f, step)
      return (y, Record(norm: normed, function: record, place: place))
    case .pre:
      let (n, normed) = norm.forward(x, adding: nil, step)
      let (f, record) = try function.forward(n, step)
      step.dropout(f, place: place)
      step.add(x, to: f)
      return (f, Record(norm: normed, function: record, place: place))
    }
  }

  /// `gradient` by the result becomes that by x.
  func backward(_ gradient: MatrixView, _ record: Record, _ step: Step)
    throws(DifferentiableAttention.Failure)
  {
    let mark = step.arena.mark
    defer { step.arena.release(to: mark) }
    let dx = step.arena.matrix(gradient.rows, gradient.columns)
    switch step.configuration.normalization {
    case .post:
      norm.backward(gradient, record.norm, step)
      let df = dropped(gradient, record, step)
      try function.backward(df, record.function, step, into: dx)
    case .pre:
      let df = dropped(gradient, record, step)
      try function.backward(df, record.function, step, into: dx)
      norm.backward(dx, record.norm, step)
    }
    step.add(dx, to: gradient)
  }

  /// The gradient through dropout; the residual branch keeps the one it has.
  private func dropped(_ gradient: MatrixView, _ record: Record, _ step: Step) -> MatrixView {
    guard step.dropoutRate > 0 else { return gradient }
    let df = step.arena.copy(gradient)
    step.dropout(df, place: record.place)
    return df
  }
}
