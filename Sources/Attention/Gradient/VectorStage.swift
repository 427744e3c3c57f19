/// One functor on vectors for training: its value, its derivatives by the elements that it reads and by
/// parameters, each as a block program over rows.
final class VectorStage {
  let value: VectorFunctor
  /// By the elements, each with the place where it lies.
  let byElements: [(partner: Expression.Partner, slope: VectorFunctor)]
  let byParameters: [(parameter: GradientPrograms.Parameter, slope: VectorFunctor)]

  /// - Parameters:
  ///   - leaves: The parameters that may be differentiated by.
  ///   - resolved: An expression with parameters replaced by their values.
  init(
    _ functor: Functor, dimension: Int, tables: PositionTables, _ data: ParameterData,
    leaves: [(GradientPrograms.Parameter, Expression)], compiles: Bool,
    resolved: (Expression) -> Expression
  ) {
    func lowered(_ expression: Expression) -> VectorFunctor {
      VectorFunctor(
        BlockProgram(vector: resolved(expression), layout: .rows, dimension: dimension),
        layout: .rows,
        dimension: dimension, tables: tables, data, compiles: compiles)
    }
    value = lowered(functor.expression)
    byElements = functor.expression.partners.map {
      ($0, lowered(functor.expression.derivative(by: .element($0))))
    }
    byParameters = leaves.compactMap { parameter, leaf in
      let slope = functor.expression.derivative(by: leaf)
      return resolved(slope) == .constant(0) ? nil : (parameter, lowered(slope))
    }
  }

  var functors: [VectorFunctor] { [value] + byElements.map(\.slope) + byParameters.map(\.slope) }
}
