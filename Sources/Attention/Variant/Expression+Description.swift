/// Prints expressions as their authors would write them.
package struct ExpressionPrinter {
  /// The names of scalars, per-head vectors, tensors and masks.
  package var scalars: [String] = []
  package var vectors: [String] = []
  package var tensors: [String] = []
  package var masks: [String] = []

  /// A printer without names: parameters appear by number.
  package init() {}

  /// The expression in the notation.
  package func callAsFunction(_ expression: Expression) -> String { text(expression).text }

  /// A text and how tightly its outermost operator binds; 9 is an atom.
  private func text(_ expression: Expression) -> (text: String, binding: Int) {
    switch expression {
    case .constant(let x):
      let isWhole = x == x.rounded() && abs(x) < 1e15
      return (isWhole ? String(Int(x)) : String(x), x < 0 ? 6 : 9)
    case .score: return ("s", 9)
    case .element(.own): return ("x.own", 9)
    case .element(.neighbour): return ("x.neighbour", 9)
    case .element(.opposite(let n)): return ("x.opposite" + (n.map { "(of: \($0))" } ?? ""), 9)
    case .position(let p): return ("at.\(p)", 9)
    case .parameter(let i): return (name(i, scalars, "parameter"), 9)
    case .perHead(let i): return (name(i, vectors, "per-head") + "[at.queryHead]", 9)
    case .tensor(let i, let row):
      let suffix =
        switch row {
        case .key: ".ofKey"
        case .query: ".ofQuery"
        case .queryRow, .request, .only: ""
        }
      return (name(i, tensors, "tensor") + suffix, 9)
    case .bit(let i): return (name(i, masks, "mask") + ".allows", 9)
    case .isPresent(.parameter(let i)): return (name(i, scalars, "parameter") + ".isPresent", 9)
    case .isPresent(.tensor(let i)): return (name(i, tensors, "tensor") + ".isPresent", 9)
    case .isPresent(.mask(let i)): return (name(i, masks, "mask") + ".isPresent", 9)
    case .unary(.negate, let a): return ("-" + operand(a, above: 7), 6)
    case .unary(.not, let a): return ("!" + operand(a, above: 7), 8)
    case .unary(let f, let a): return ("\(f.name)(\(self(a)))", 9)
    case .binary(let f, let a, let b):
      guard let (symbol, binding) = f.infix else { return ("\(f.name)(\(self(a)), \(self(b)))", 9) }
      let right = f == .subtract || f == .divide ? binding : binding - 1
      return ("\(operand(a, above: binding - 1)) \(symbol) \(operand(b, above: right))", binding)
    case .select(let c, let a, let b): return ("select(\(self(c)), \(self(a)), \(self(b)))", 9)
    }
  }

  private func operand(_ expression: Expression, above binding: Int) -> String {
    let part = text(expression)
    return part.binding > binding ? part.text : "(\(part.text))"
  }

  private func name(_ i: Int, _ names: [String], _ kind: String) -> String {
    names.indices.contains(i) ? names[i] : "\(kind)\(i)"
  }
}

extension Expression.Unary {
  fileprivate var name: String {
    switch self {
    case .negate: "-"
    case .absolute: "abs"
    case .exp: "exp"
    case .log: "log"
    case .tanh: "tanh"
    case .sigmoid: "sigmoid"
    case .squareRoot: "sqrt"
    case .floor: "floor"
    case .not: "!"
    case .sine: "sin"
    case .cosine: "cos"
    }
  }
}

extension Expression.Binary {
  fileprivate var name: String {
    switch self {
    case .minimum: "min"
    case .maximum: "max"
    case .power: "pow"
    default: infix?.symbol ?? ""
    }
  }

  fileprivate var infix: (symbol: String, binding: Int)? {
    switch self {
    case .or: ("||", 1)
    case .and: ("&&", 2)
    case .less: ("<", 3)
    case .lessOrEqual: ("<=", 3)
    case .equal: (".==", 3)
    case .add: ("+", 4)
    case .subtract: ("-", 4)
    case .multiply: ("*", 5)
    case .divide: ("/", 5)
    case .minimum, .maximum, .power: nil
    }
  }
}
