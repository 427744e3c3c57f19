extension ChatTemplate {
  /// Why a template could not be read or rendered, and where in its source.
  public struct Failure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The kind of failure.
    public enum Kind: Equatable, Sendable {
      /// The source is not a template.
      case syntax
      /// The template asks for something outside the supported subset.
      case unsupported
      /// An operation does not fit its operands.
      case type
      /// A value that the template needs is not there.
      case undefined
      /// The template called `raise_exception`.
      case raised
      /// A limit of work, size or nesting was reached.
      case limit
    }

    /// The kind of failure.
    public var kind: Kind
    /// What went wrong.
    public var message: String
    /// The line in the template's source, from 1.
    public var line: Int
    /// The column in characters, from 1.
    public var column: Int

    /// What went wrong, with line and column.
    public var description: String { "chat template, line \(line), column \(column): \(message)" }
  }
}

/// A place in a template's source.
struct TemplatePosition: Equatable, Sendable {
  var line = 1
  var column = 1

  func failure(_ kind: ChatTemplate.Failure.Kind, _ message: String) -> ChatTemplate.Failure {
    ChatTemplate.Failure(kind: kind, message: message, line: line, column: column)
  }
}
