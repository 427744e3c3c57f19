package import Tensors

extension CPUDevice {
  /// Why an operator refused its arguments, before it computed anything.
  public enum OperatorFailure: Error, Hashable {
    /// An argument has a shape that does not fit the others.
    case shape(operation: String, argument: String, expected: String, found: String)
    /// A value is out of its range: a scalar, or the element `index` of a list.
    case value(operation: String, argument: String, index: Int?, expected: String, found: String)
  }

  /// Throws unless a shape is right.
  package func require(
    _ isRight: Bool, _ argument: String, expected: @autoclosure () -> String,
    found: @autoclosure () -> String, _ operation: String = #function
  ) throws(OperatorFailure) {
    if isRight { return }
    throw .shape(
      operation: Self.name(operation), argument: argument, expected: expected(), found: found())
  }

  /// Throws unless a view has the given shape.
  package func require(
    _ view: MatrixView, _ argument: String, rows: Int, columns: Int,
    _ operation: String = #function
  ) throws(OperatorFailure) {
    try require(
      view.rows == rows && view.columns == columns, argument, expected: "\(rows) × \(columns)",
      found: view.shape, operation)
  }

  /// Throws unless a list has one element for all rows or one for each.
  package func requirePerRow(
    _ count: Int, rows: Int, _ argument: String, _ operation: String = #function
  ) throws(OperatorFailure) {
    try require(
      count == 1 || count == rows, argument, expected: "1 or \(rows) elements",
      found: "\(count)", operation)
  }

  /// Throws unless every element of a list is right.
  package func requireValues<Value>(
    _ values: some Collection<Value>, _ argument: String, expected: String,
    _ operation: String = #function, _ isRight: (Value) -> Bool
  ) throws(OperatorFailure) {
    for (index, value) in values.enumerated() where !isRight(value) {
      throw .value(
        operation: Self.name(operation), argument: argument,
        index: values.count == 1 ? nil : index, expected: expected, found: "\(value)")
    }
  }

  /// A function's name without its labels.
  private static func name(_ function: String) -> String {
    String(function.prefix { $0 != "(" })
  }
}

extension MatrixView {
  /// Rows × columns, for messages.
  fileprivate var shape: String { "\(rows) × \(columns)" }
}

extension CPUDevice.OperatorFailure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .shape(let operation, let argument, let expected, let found):
      "\(operation): \(argument) is \(found); expected \(expected)"
    case .value(let operation, let argument, let index, let expected, let found):
      "\(operation): \(argument)\(index.map { "[\($0)]" } ?? "") is \(found); expected \(expected)"
    }
  }
}
