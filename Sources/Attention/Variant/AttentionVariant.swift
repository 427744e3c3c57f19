/// A kind of attention, defined once: what happens to a score, and which scores count.
///
/// ```swift
/// let softCapped = AttentionVariant("soft-cap") { v in
///   let cap = v.parameter("cap", default: 30)
///   v.logits { s, at in cap * tanh(s / cap) }
///   v.mask { at in at.kv <= at.query && at.query - at.kv < 4096 }
/// }
/// ```
///
/// The closures run once, over symbols, and leave an expression tree. The tree is interpreted in
/// Double by the reference and lowered to vector operations for the CPU. `s` is the scaled score
/// q·k·scale; a masked score counts as −∞ whatever `logits` made of it.
public struct AttentionVariant: Sendable, Hashable {
  /// A name for people.
  public let name: String
  /// The factor of q·k; `nil` means 1/√(head dimension).
  public var scale: Float?

  /// The logits functor; `.score` where the score passes unchanged.
  package let logitsExpression: Expression
  /// The mask; constant 1 where every key counts.
  package let maskExpression: Expression
  package let parameterNames: [String]
  package let perHeadNames: [String]
  package private(set) var parameters: VariantParameters

  /// Defines a variant.
  ///
  /// - Parameters:
  ///   - name: A name for people.
  ///   - scale: The factor of q·k; by default 1/√(head dimension).
  ///   - define: Declares parameters and functors; runs once. Several `logits` apply one after the
  ///     other, several `mask`s must all hold.
  public init(_ name: String, scale: Float? = nil, _ define: (inout Definition) -> Void = { _ in })
  {
    var definition = Definition()
    define(&definition)
    self.init(name: name, scale: scale, definition: definition)
  }

  private init(name: String, scale: Float?, definition: Definition) {
    self.name = name
    self.scale = scale
    logitsExpression = definition.logitsExpression
    maskExpression = definition.maskExpression
    parameterNames = definition.parameterNames
    perHeadNames = definition.perHeadNames
    parameters = definition.parameters
  }

  /// This variant's logits followed by `other`'s, both masks in force, both sets of parameters.
  ///
  /// Where a parameter's name occurs twice, `setting` changes both. The scale is this variant's
  /// where it has one.
  public func combined(with other: AttentionVariant) -> AttentionVariant {
    var definition = Definition()
    definition.logitsExpression = logitsExpression
    definition.maskExpression = maskExpression
    definition.parameterNames = parameterNames
    definition.perHeadNames = perHeadNames
    definition.parameters = parameters
    let (scalars, vectors) = (parameterNames.count, perHeadNames.count)
    definition.parameterNames += other.parameterNames
    definition.perHeadNames += other.perHeadNames
    definition.parameters.scalars += other.parameters.scalars
    definition.parameters.vectors += other.parameters.vectors
    definition.logitsExpression = other.logitsExpression
      .shifting(parameters: scalars, perHead: vectors).substituting(score: logitsExpression)
    definition.maskExpression = .make(
      .and, maskExpression, other.maskExpression.shifting(parameters: scalars, perHead: vectors))
    return AttentionVariant(
      name: "\(name)+\(other.name)", scale: scale ?? other.scale, definition: definition)
  }

  /// The variant with another value for every scalar parameter called `name`.
  public func setting(_ name: String, to value: Float) -> AttentionVariant {
    var copy = self
    for (i, known) in parameterNames.enumerated() where known == name {
      copy.parameters.scalars[i] = value
    }
    return copy
  }
}

/// The values of a variant's parameters.
package struct VariantParameters: Sendable, Hashable {
  /// Scalars, in order of declaration.
  package var scalars: [Float] = []
  /// Per-head vectors, one entry for each query head, in order of declaration.
  package var vectors: [[Float]] = []

  /// No parameters.
  package init() {}
}

extension AttentionVariant {
  /// What a variant's definition may say.
  ///
  /// The functors for query, key, value and output belong here too; they come with their kernels.
  public struct Definition {
    fileprivate var logitsExpression = Expression.score
    fileprivate var maskExpression = Expression.constant(1)
    fileprivate var parameterNames: [String] = []
    fileprivate var perHeadNames: [String] = []
    fileprivate var parameters = VariantParameters()

    /// Declares a scalar parameter.
    public mutating func parameter(_ name: String, default value: Float) -> Symbol {
      parameterNames.append(name)
      parameters.scalars.append(value)
      return Symbol(.parameter(parameterNames.count - 1))
    }

    /// Declares a vector with one entry for each query head.
    ///
    /// The symbol is the entry of the score's own head. The length is checked when a plan meets the
    /// model's number of heads.
    public mutating func perHead(_ name: String, _ values: [Float]) -> Symbol {
      perHeadNames.append(name)
      parameters.vectors.append(values)
      return Symbol(.perHead(perHeadNames.count - 1))
    }

    /// Says what becomes of a scaled score.
    public mutating func logits(_ transform: (_ s: Symbol, _ at: Place) -> Symbol) {
      logitsExpression = transform(Symbol(logitsExpression), Place()).expression
    }

    /// Says which scores count.
    public mutating func mask(_ keeps: (_ at: Place) -> Condition) {
      maskExpression = .make(.and, maskExpression, keeps(Place()).expression)
    }
  }

  /// Where a score stands, in symbols.
  public struct Place: Sendable {
    /// The query's absolute position: kvLength − queryLength + its index among the new tokens.
    public var query: Symbol { Symbol(.position(.query)) }
    /// The key's absolute position, from 0.
    public var kv: Symbol { Symbol(.position(.kv)) }
    /// The query head.
    public var queryHead: Symbol { Symbol(.position(.queryHead)) }
    /// The key/value head.
    public var kvHead: Symbol { Symbol(.position(.kvHead)) }
    /// The request's number in the batch.
    public var request: Symbol { Symbol(.position(.request)) }
    /// The number of the request's new tokens.
    public var queryLength: Symbol { Symbol(.position(.queryLength)) }
    /// The number of the request's tokens that have keys.
    public var kvLength: Symbol { Symbol(.position(.kvLength)) }
  }
}
