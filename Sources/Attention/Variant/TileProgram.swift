/// A variant lowered to vector operations over a score tile: its meaning on the CPU.
///
/// Subtrees that do not change along the kv axis are computed once a row, in Double; the others are
/// one kernel call each over a row of the tile. Equal subtrees are computed once.
struct TileProgram: Sendable {
  /// Where an operand comes from.
  enum Operand: Sendable, Hashable, BitwiseCopyable {
    /// A register of Doubles, one value for a row.
    case scalar(Int)
    /// A register of floats, one for each key; register 0 is the row of scores itself.
    case vector(Int)
  }

  /// One step; `target` is a register of the kind the step computes.
  enum Step: Sendable, Hashable, BitwiseCopyable {
    case constant(Double, target: Int)
    case position(Expression.Position, target: Int)
    case perHead(Int, target: Int)
    case scalarUnary(Expression.Unary, Int, target: Int)
    case scalarBinary(Expression.Binary, Int, Int, target: Int)
    case scalarSelect(Int, Int, Int, target: Int)
    /// y[i] = kv + i.
    case keys(target: Int)
    case fill(Int, target: Int)
    case unary(Expression.Unary, Int, target: Int)
    case binary(Expression.Binary, Operand, Operand, target: Int)
    case select(Int, Int, Int, target: Int)
    /// Scores become −∞ where the operand is 0.
    case mask(Operand)
  }

  private(set) var steps: [Step] = []
  private(set) var scalarCount = 0
  /// Register 0, the row itself, among them.
  private(set) var vectorCount = 1

  /// Whether there is nothing to do.
  var isEmpty: Bool { steps.isEmpty }

  /// Lowers a logits functor and the part of a mask that bounds do not cover.
  init(logits: Expression, mask: Expression?) {
    var builder = Builder()
    // A mask does not depend on the score, so it is computed before the scores are overwritten.
    let condition = mask.map { builder.lower($0) }
    if logits != .score { builder.writeScores(logits) }
    if let condition { builder.steps.append(.mask(condition)) }
    steps = builder.steps
    scalarCount = builder.scalarCount
    vectorCount = builder.vectorCount
  }
}

private struct Builder {
  var steps: [TileProgram.Step] = []
  var scalarCount = 0
  var vectorCount = 1
  private var known: [Expression: TileProgram.Operand] = [.score: .vector(0)]

  mutating func writeScores(_ logits: Expression) {
    switch lower(logits) {
    case .scalar(let value): steps.append(.fill(value, target: 0))
    case .vector(let register):
      // Redirect the step that made the value to write over the scores.
      if let last = steps.indices.last, let redirected = steps[last].writing(register, to: 0) {
        steps[last] = redirected
      } else {
        let zero = scalar(of: .constant(0))
        steps.append(.binary(.add, .vector(register), .scalar(zero), target: 0))
      }
    }
  }

  private mutating func scalar(of expression: Expression) -> Int {
    if case .scalar(let register)? = known[expression] { return register }
    let target: Int
    switch expression {
    case .unary(let f, let a):
      let a = scalar(of: a)
      target = newScalar()
      steps.append(.scalarUnary(f, a, target: target))
    case .binary(let f, let a, let b):
      let (a, b) = (scalar(of: a), scalar(of: b))
      target = newScalar()
      steps.append(.scalarBinary(f, a, b, target: target))
    case .select(let c, let a, let b):
      let (c, a, b) = (scalar(of: c), scalar(of: a), scalar(of: b))
      target = newScalar()
      steps.append(.scalarSelect(c, a, b, target: target))
    case .position(let p):
      target = newScalar()
      steps.append(.position(p, target: target))
    case .perHead(let i):
      target = newScalar()
      steps.append(.perHead(i, target: target))
    case .constant(let x):
      target = newScalar()
      steps.append(.constant(x, target: target))
    case .score, .parameter:
      // Parameters have been replaced by their values, and scores are vectors.
      target = newScalar()
      steps.append(.constant(.nan, target: target))
    }
    known[expression] = .scalar(target)
    return target
  }

  mutating func lower(_ expression: Expression) -> TileProgram.Operand {
    if let operand = known[expression] { return operand }
    guard expression.variesAlongKV else { return .scalar(scalar(of: expression)) }
    let target: Int
    switch expression {
    case .unary(let f, let a):
      let a = vector(of: a)
      target = newVector()
      steps.append(.unary(f, a, target: target))
    case .binary(let f, let a, let b):
      let (a, b) = (lower(a), lower(b))
      target = newVector()
      steps.append(.binary(f, a, b, target: target))
    case .select(let c, let a, let b):
      let (c, a, b) = (vector(of: c), vector(of: a), vector(of: b))
      target = newVector()
      steps.append(.select(c, a, b, target: target))
    default:
      target = newVector()
      steps.append(.keys(target: target))
    }
    known[expression] = .vector(target)
    return .vector(target)
  }

  private mutating func vector(of expression: Expression) -> Int {
    switch lower(expression) {
    case .vector(let register): return register
    case .scalar(let value):
      let target = newVector()
      steps.append(.fill(value, target: target))
      return target
    }
  }

  private mutating func newScalar() -> Int {
    scalarCount += 1
    return scalarCount - 1
  }

  private mutating func newVector() -> Int {
    vectorCount += 1
    return vectorCount - 1
  }
}

extension TileProgram.Step {
  /// The register this step writes.
  var result: TileProgram.Operand? {
    switch self {
    case .constant(_, let t), .position(_, let t), .perHead(_, let t), .scalarUnary(_, _, let t),
      .scalarBinary(_, _, _, let t), .scalarSelect(_, _, _, let t):
      .scalar(t)
    case .keys(let t), .fill(_, let t), .unary(_, _, let t), .binary(_, _, _, let t),
      .select(_, _, _, let t):
      .vector(t)
    case .mask: nil
    }
  }

  /// The step with another vector register as its target, if it writes `register`.
  fileprivate func writing(_ register: Int, to target: Int) -> Self? {
    guard result == .vector(register) else { return nil }
    return switch self {
    case .keys: .keys(target: target)
    case .fill(let x, _): .fill(x, target: target)
    case .unary(let f, let a, _): .unary(f, a, target: target)
    case .binary(let f, let a, let b, _): .binary(f, a, b, target: target)
    case .select(let c, let a, let b, _): .select(c, a, b, target: target)
    default: nil
    }
  }
}
