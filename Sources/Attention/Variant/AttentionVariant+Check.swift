extension AttentionVariant {
  /// What is wrong with a variant's definition, its parameters or their data.
  public enum Invalid: Error, Hashable {
    /// A functor reads what its place does not have, as a mask the score.
    ///
    /// - Parameters:
    ///   - functor: The kind of functor, `mask` for example.
    ///   - reads: What it reads, in the notation.
    ///   - expression: The whole functor, in the notation.
    ///   - location: File and line of the definition, where known.
    case misplaced(functor: String, reads: String, expression: String, location: String)
    /// No parameter has this name.
    case unknownParameter(String, known: [String])
    /// The parameter must have a value.
    case notNullable(String)
    /// The parameter's data has another number of entries than the batch and shape ask for.
    case length(String, expected: [Int], found: Int)
    /// The parameter's data is missing; it was used in this functor.
    case unbound(String)
    /// A sink needs softmax: without there is no denominator.
    case sinkWithoutSoftmax(location: String)
  }

  /// Checks that every functor reads only what its place has.
  ///
  /// A plan does so too; lengths of vectors and tensors are checked there.
  public func check() throws(Invalid) {
    for functor in functors {
      try check(
        functor.expression, Self.readable(functor.kind), functor.kind.rawValue, functor.location)
      if functor.kind == .sink && !usesSoftmax {
        throw .sinkWithoutSoftmax(location: functor.location.description)
      }
    }
    try check(logitsExpression, Self.readableByLogits, "logits", declarations.logitsLocation)
    try check(
      maskExpression, { Self.readableByLogits($0, $1) && $0 != .score }, "mask",
      declarations.maskLocation)
  }

  /// Checks the definition, and that vectors over dimensions are as long as the vectors they meet.
  func check(headDimension: Int, valueDimension: Int) throws(Invalid) {
    try check()
    for functor in functors {
      let isKey = functor.kind == .query || functor.kind == .key
      let expected = isKey ? headDimension : valueDimension
      for (i, values) in parameters.tensors where values.count != expected {
        if functor.expression.contains({ $0 == .tensor(i, .only) }) {
          throw .length(declarations.tensors[i].name, expected: [expected], found: values.count)
        }
      }
    }
  }

  private func check(
    _ expression: Expression, _ isReadable: (Expression, Declarations) -> Bool, _ functor: String,
    _ location: SourceLocation?
  ) throws(Invalid) {
    var misplaced: Expression?
    _ = expression.contains {
      if misplaced == nil && !isReadable($0, declarations) { misplaced = $0 }
      return misplaced != nil
    }
    guard let misplaced else { return }
    let printer = declarations.printer
    throw .misplaced(
      functor: functor, reads: misplaced == .score ? "the score" : printer(misplaced),
      expression: printer(expression), location: location?.description ?? "")
  }

  private static func readableByLogits(_ leaf: Expression, _ declarations: Declarations) -> Bool {
    switch leaf {
    case .element, .position(.dimension), .position(.dimensionCount), .position(.index): false
    case .tensor(let i, _): !declarations.tensors[i].hasDimension
    default: true
    }
  }

  private static func readable(_ kind: Functor.Kind) -> (Expression, Declarations) -> Bool {
    { leaf, declarations in
      switch (kind, leaf) {
      case (_, .score), (_, .bit), (_, .position(.index)): false
      case (.sink, .element), (.sink, .position(.dimension)), (.sink, .position(.dimensionCount)):
        false
      case (.query, .position(.kv)), (.output, .position(.kv)), (.sink, .position(.kv)): false
      case (.key, .position(.query)), (.value, .position(.query)), (.key, .position(.queryHead)),
        (.value, .position(.queryHead)), (.key, .perHead), (.value, .perHead):
        false
      case (.key, .tensor(let i, let row)), (.value, .tensor(let i, let row)):
        row != .query && row != .queryRow && declarations.tensors[i].heads != .query
      case (.sink, .tensor(let i, let row)): row != .key && !declarations.tensors[i].hasDimension
      case (.query, .tensor(_, let row)), (.output, .tensor(_, let row)): row != .key
      default: true
      }
    }
  }
}

extension SourceLocation: CustomStringConvertible {
  package var description: String { "\(fileID):\(line)" }
}

extension AttentionVariant.Invalid: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .misplaced(let functor, let reads, let expression, let location):
      "attention variant: the \(functor) functor\(Self.at(location)) reads \(reads), "
        + "which has no meaning there: \(expression)"
    case .unknownParameter(let name, let known):
      "attention variant: no parameter is called \(name); "
        + (known.isEmpty ? "there are none" : "there are \(known.joined(separator: ", "))")
    case .notNullable(let name):
      "attention variant: parameter \(name) must have a value; it was not declared nullable"
    case .length(let name, let expected, let found):
      "attention variant: \(name) must have \(expected.map(String.init).joined(separator: " x ")) "
        + "entries, found \(found)"
    case .unbound(let name):
      "attention variant: no data is bound for \(name); give it to update(_:tensors:) or bind(_:)"
    case .sinkWithoutSoftmax(let location):
      "attention variant: the sink\(Self.at(location)) needs softmax, which this variant does not use"
    }
  }

  private static func at(_ location: String) -> String {
    location.isEmpty ? "" : " defined at \(location)"
  }
}

extension AttentionVariant {
  /// The definition in the notation, a line for each functor.
  public var definition: String {
    let printer = declarations.printer
    var lines = ["\(name): scale \(scale.map { "\($0)" } ?? "1/sqrt(d)")"]
    for functor in functors {
      lines.append("  \(functor.kind.rawValue): \(printer(functor.expression))")
    }
    if logitsExpression != .score { lines.append("  logits: \(printer(logitsExpression))") }
    if maskExpression != .constant(1) { lines.append("  mask: \(printer(maskExpression))") }
    if !usesSoftmax { lines.append("  no softmax") }
    return lines.joined(separator: "\n")
  }
}
