/// A kind of attention, defined once: what happens to queries, keys, values, scores and outputs,
/// and which scores count.
///
/// ```swift
/// let softCapped = AttentionVariant("soft-cap") { v in
///   let cap = v.parameter("cap", default: 30)
///   v.logits { s, at in cap * tanh(s / cap) }
///   v.mask { at in at.kv <= at.query && at.query - at.kv < 4096 }
/// }
/// ```
///
/// The closures run once, over symbols, and leave expression trees. A tree is interpreted in Double
/// by the reference and lowered to vector operations for the CPU. `s` is the scaled score
/// q·k·scale; a masked score counts for nothing, whatever `logits` made of it.
///
/// With softmax, O = Σ exp(sᵢ − LSE)·vᵢ; without (``usesSoftmax``), O = Σ sᵢ·vᵢ, and there is no
/// log-sum-exp. A mistake in a definition is found when a plan is made, or by ``check()``.
public struct AttentionVariant: Sendable, Hashable {
  /// A name for people.
  public let name: String
  /// The factor of q·k; `nil` means 1/√(head dimension).
  public var scale: Float?
  /// The factor of q·k for a layer's sizes.
  func scale(for shape: AttentionShape) -> Float {
    scale ?? 1 / Float(shape.headDimension).squareRoot()
  }

  /// Whether weights are the softmax of the logits; if not, they are the logits themselves.
  public let usesSoftmax: Bool

  /// All functors but mask and logits, in the order in which they apply.
  package let functors: [Functor]
  /// The logits functor; `.score` where the score passes unchanged.
  package let logitsExpression: Expression
  /// The mask; constant 1 where every key counts.
  package let maskExpression: Expression
  package let declarations: Declarations
  package private(set) var parameters: VariantParameters

  /// Defines a variant.
  ///
  /// - Parameters:
  ///   - name: A name for people.
  ///   - scale: The factor of q·k; by default 1/√(head dimension).
  ///   - define: Declares parameters and functors; runs once. Several functors of a kind apply one
  ///     after the other; several `mask`s must all hold.
  public init(_ name: String, scale: Float? = nil, _ define: (inout Definition) -> Void = { _ in })
  {
    var definition = Definition()
    define(&definition)
    self.init(name: name, scale: scale, definition: definition)
  }

  private init(name: String, scale: Float?, definition: Definition) {
    self.name = name
    self.scale = scale
    usesSoftmax = definition.usesSoftmax
    functors = definition.functors
    logitsExpression = definition.logitsExpression
    maskExpression = definition.maskExpression
    declarations = definition.declarations
    parameters = definition.parameters
  }

  /// This variant's functors followed by `other`'s, both masks in force, all parameters.
  ///
  /// Where a parameter's name occurs twice, setting or binding it changes both. The scale is this
  /// variant's where it has one. Softmax is used where both use it.
  public func combined(with other: AttentionVariant) -> AttentionVariant {
    let shift = declarations.counts
    var definition = Definition()
    definition.usesSoftmax = usesSoftmax && other.usesSoftmax
    definition.declarations = declarations.followed(by: other.declarations)
    definition.parameters = parameters.followed(
      by: other.parameters, tensorCount: shift.tensors)
    definition.functors =
      functors
      + other.functors.map { functor in
        var shifted = functor
        shifted.expression = functor.expression.shifting(by: shift)
        return shifted
      }
    definition.logitsExpression = other.logitsExpression
      .shifting(by: shift).substituting(score: logitsExpression)
    definition.maskExpression = .make(
      .and, maskExpression, other.maskExpression.shifting(by: shift))
    return AttentionVariant(
      name: "\(name)+\(other.name)", scale: scale ?? other.scale, definition: definition)
  }

  /// The variant without its functors on queries, keys, values and outputs; parameters stay.
  var withoutVectorFunctors: AttentionVariant {
    var definition = Definition()
    definition.usesSoftmax = usesSoftmax
    definition.declarations = declarations
    definition.parameters = parameters
    definition.functors = functors.filter { $0.kind == .sink }
    definition.logitsExpression = logitsExpression
    definition.maskExpression = maskExpression
    return AttentionVariant(name: name, scale: scale, definition: definition)
  }

  /// The variant with another value for every scalar parameter called `name`; `nil` makes a
  /// nullable one absent.
  public func setting(_ name: String, to value: Float?) throws(Invalid) -> AttentionVariant {
    var copy = self
    var isKnown = false
    for (i, scalar) in declarations.scalars.enumerated() where scalar.name == name {
      if value == nil && !scalar.isNullable { throw .notNullable(name) }
      copy.parameters.scalars[i] = value
      isKnown = true
    }
    guard isKnown else {
      throw .unknownParameter(name, known: declarations.scalars.map(\.name))
    }
    return copy
  }
}
