/// Prints a variant's expression trees as CUDA C++: their third meaning.
///
/// A tree becomes an expression of type `float` over `a` (the launch's arguments), `p` (the place)
/// and, for functors on vectors, `row` and `d`. Scalar parameters have been replaced by their values.
struct CUDAExpressionPrinter {
  /// The head axes of the variant's tensors.
  let declarations: Declarations
  /// Query heads, the pitch of per-head vectors.
  let heads: Int
  /// The elements of the vectors that a functor transforms.
  var dimensionCount = 0
  /// The name of the function that gives the element of the stage before.
  var element = ""

  /// The text of a tree.
  func print(_ expression: Expression) -> String {
    switch expression {
    case .constant(let value): literal(value)
    case .score: "s"
    case .element(let partner): "\(element)(a, p, row, \(index(partner)))"
    case .position(.dimension): "float(d)"
    case .position(.dimensionCount): literal(Double(dimensionCount))
    case .position(let position): "float(p.\(position))"
    case .parameter, .isPresent: literal(.nan)  // resolved before printing
    case .perHead(let i): "a.perHead[\(i * heads) + p.queryHead]"
    case .tensor(let i, let row): tensor(i, row)
    case .bit(let i): "mask_bit(a, p, \(i))"
    case .unary(let function, let x): unary(function, print(x))
    case .binary(let function, let x, let y): binary(function, print(x), print(y))
    case .select(let c, let x, let y): "(\(print(c)) != 0.f ? \(print(x)) : \(print(y)))"
    }
  }

  /// A number as C++ writes it.
  func literal(_ value: Double) -> String {
    let float = Float(value)
    if float.isNaN { return "not_a_number()" }
    if float.isInfinite { return float < 0 ? "-infinity()" : "infinity()" }
    return "\(float < 0 ? "(" : "")\(float)f\(float < 0 ? ")" : "")"
  }

  private func index(_ partner: Expression.Partner) -> String {
    switch partner {
    case .own: return "d"
    case .neighbour: return "neighbour(d, \(dimensionCount))"
    case .opposite(let part):
      let half = min(max(part ?? dimensionCount, 0), dimensionCount) / 2
      return "opposite(d, \(half))"
    }
  }

  private func tensor(_ number: Int, _ row: Expression.TensorRow) -> String {
    let index =
      switch row {
      case .key: "a.tokenOffsets[p.request] + p.kv"
      case .query: "a.tokenOffsets[p.request] + (p.query > 0 ? p.query : 0)"
      case .queryRow: "a.queryOffsets[p.request] + p.query - p.kvLength + p.queryLength"
      case .request: "p.request"
      case .only: "d"
      }
    let head =
      switch declarations.tensors[number].heads {
      case .none: ""
      case .query: "p.queryHead * a.tensors[\(number)].headPitch + "
      case .kv: "p.kvHead * a.tensors[\(number)].headPitch + "
      }
    return "a.tensors[\(number)].base[\(head)\(index)]"
  }

  private func unary(_ function: Expression.Unary, _ x: String) -> String {
    switch function {
    case .negate: "(-\(x))"
    case .absolute: "fabsf(\(x))"
    case .exp: "expf(\(x))"
    case .log: "logf(\(x))"
    case .tanh: "tanhf(\(x))"
    case .sigmoid: "(1.f / (1.f + expf(-\(x))))"
    case .squareRoot: "sqrtf(\(x))"
    case .floor: "floorf(\(x))"
    case .not: "float(\(x) == 0.f)"
    case .sine: "sinf(\(x))"
    case .cosine: "cosf(\(x))"
    }
  }

  private func binary(_ function: Expression.Binary, _ x: String, _ y: String) -> String {
    switch function {
    case .add: "(\(x) + \(y))"
    case .subtract: "(\(x) - \(y))"
    case .multiply: "(\(x) * \(y))"
    case .divide: "(\(x) / \(y))"
    case .minimum: "fminf(\(x), \(y))"
    case .maximum: "fmaxf(\(x), \(y))"
    case .less: "float(\(x) < \(y))"
    case .lessOrEqual: "float(\(x) <= \(y))"
    case .equal: "float(\(x) == \(y))"
    case .and: "float(\(x) != 0.f && \(y) != 0.f)"
    case .or: "float(\(x) != 0.f || \(y) != 0.f)"
    case .power: "powf(\(x), \(y))"
    }
  }
}
