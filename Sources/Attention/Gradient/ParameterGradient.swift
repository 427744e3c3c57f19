/// The gradient of a loss by the parameters of a variant.
///
/// Sums over every request, query and key, in a fixed order. Masks have no gradient, and neither have
/// the entries of tensor parameters.
public struct ParameterGradient: Sendable, Hashable {
  /// Names of the scalar parameters, in order of declaration.
  package let scalarNames: [String]
  /// Names of the per-head vectors, in order of declaration.
  package let vectorNames: [String]
  /// One derivative for each scalar parameter.
  package var scalars: [Double]
  /// One derivative for each query head of each per-head vector.
  package var vectors: [[Double]]

  /// Zeros for every parameter of a variant.
  package init(of variant: AttentionVariant, queryHeads: Int) {
    scalarNames = variant.declarations.scalars.map(\.name)
    vectorNames = variant.declarations.vectors
    scalars = scalarNames.map { _ in 0 }
    vectors = vectorNames.map { _ in [Double](repeating: 0, count: queryHeads) }
  }

  /// The derivative by the scalar parameter called `name`; `nil` where the variant has none.
  ///
  /// Of several parameters of one name, which `AttentionVariant.setting` changes together, it is the
  /// sum.
  public func scalar(_ name: String) -> Float? {
    let found = zip(scalarNames, scalars).filter { $0.0 == name }
    return found.isEmpty ? nil : Float(found.reduce(0) { $0 + $1.1 })
  }

  /// The derivatives by the per-head vector called `name`, one for each query head; `nil` where the
  /// variant has none.
  public func perHead(_ name: String) -> [Float]? {
    let found = zip(vectorNames, vectors).filter { $0.0 == name }.map(\.1)
    guard let first = found.first else { return nil }
    return first.indices.map { head in Float(found.reduce(0) { $0 + $1[head] }) }
  }
}
