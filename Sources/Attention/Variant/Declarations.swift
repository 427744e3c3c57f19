/// Where something was defined; no part of a variant's identity.
package struct SourceLocation: Sendable, Hashable {
  /// Module and file.
  package let fileID: String
  /// The line in it.
  package let line: UInt

  init(_ fileID: StaticString, _ line: UInt) {
    self.fileID = fileID.description
    self.line = line
  }

  package static func == (a: Self, b: Self) -> Bool { true }

  package func hash(into hasher: inout Hasher) {}
}

/// A functor on vectors, or an attention sink.
package struct Functor: Sendable, Hashable {
  /// What a functor transforms.
  package enum Kind: String, Sendable, Hashable, CaseIterable {
    case query, key, value, output, sink
  }

  /// What it transforms.
  package let kind: Kind
  /// The result, for element `at.dimension`.
  package var expression: Expression
  /// Where it was defined.
  package let location: SourceLocation
}

/// The parameters that a variant declares, in order, and where its score functors were defined.
package struct Declarations: Sendable, Hashable {
  /// A scalar parameter or a custom mask.
  package struct Named: Sendable, Hashable {
    package let name: String
    package let isNullable: Bool
  }

  /// A tensor parameter.
  package struct Tensor: Sendable, Hashable {
    package let name: String
    /// What its rows belong to: `.key` tokens, `.queryRow` new tokens, `.request`, or `.only`.
    package let rows: Expression.TensorRow
    package let heads: AttentionVariant.HeadAxis
    /// Whether an entry is a vector with an element for each dimension.
    package let hasDimension: Bool
    package let isNullable: Bool
  }

  package var scalars: [Named] = []
  /// Names of per-head vectors.
  package var vectors: [String] = []
  package var tensors: [Tensor] = []
  package var masks: [Named] = []
  package var logitsLocation: SourceLocation?
  package var maskLocation: SourceLocation?

  package init() {}

  /// How many there are of each kind.
  package var counts: ParameterCounts {
    var counts = ParameterCounts()
    counts.scalars = scalars.count
    counts.vectors = vectors.count
    counts.tensors = tensors.count
    counts.masks = masks.count
    return counts
  }

  /// Prints expressions over these parameters.
  package var printer: ExpressionPrinter {
    var printer = ExpressionPrinter()
    printer.scalars = scalars.map(\.name)
    printer.vectors = vectors
    printer.tensors = tensors.map(\.name)
    printer.masks = masks.map(\.name)
    return printer
  }

  func followed(by other: Declarations) -> Declarations {
    var all = self
    all.scalars += other.scalars
    all.vectors += other.vectors
    all.tensors += other.tensors
    all.masks += other.masks
    all.logitsLocation = other.logitsLocation ?? logitsLocation
    all.maskLocation = other.maskLocation ?? maskLocation
    return all
  }
}

/// The values of a variant's parameters that do not change from batch to batch.
package struct VariantParameters: Sendable, Hashable {
  /// Scalars, in order of declaration; `nil` where a nullable one is absent.
  package var scalars: [Float?] = []
  /// Per-head vectors, one entry for each query head, in order of declaration.
  package var vectors: [[Float]] = []
  /// The data of tensors that is part of the definition, by number of the tensor.
  package var tensors: [Int: [Float]] = [:]

  /// No parameters.
  package init() {}

  func followed(by other: VariantParameters, tensorCount: Int) -> VariantParameters {
    var all = self
    all.scalars += other.scalars
    all.vectors += other.vectors
    for (number, data) in other.tensors { all.tensors[number + tensorCount] = data }
    return all
  }
}
