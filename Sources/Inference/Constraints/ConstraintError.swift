/// Why a constraint cannot be made, and where.
public enum ConstraintError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A place in a JSON Schema, as a JSON pointer (`#/properties/age/minimum`), and what is wrong.
  case schema(path: String, problem: String)
  /// A place in a regular expression, in characters from its beginning, and what is wrong.
  case regex(offset: Int, problem: String)
  /// A place in a grammar, both counted from 1, and what is wrong.
  case grammar(line: Int, column: Int, problem: String)
  /// No text can satisfy it.
  case unsatisfiable(String)
  /// The automaton of it, or the time to follow it, would pass a limit.
  case tooComplex(String)

  /// The place and the problem.
  public var description: String {
    switch self {
    case .schema(let path, let problem): "JSON schema, \(path): \(problem)"
    case .regex(let offset, let problem): "regular expression, character \(offset): \(problem)"
    case .grammar(let line, let column, let problem):
      "grammar, line \(line), column \(column): \(problem)"
    case .unsatisfiable(let problem): "no text satisfies the constraint: \(problem)"
    case .tooComplex(let problem): "the constraint is too complex: \(problem)"
    }
  }
}
