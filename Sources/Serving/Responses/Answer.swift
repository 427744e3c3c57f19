import Tokenizers

/// Turns the steps of a run into the bodies of one endpoint.
protocol Answer: Sendable {
  var header: AnswerHeader { get }
  /// Choices of one prompt.
  var choices: Int { get }

  /// Takes a step and returns what a stream's client is told of it.
  mutating func receive(_ delta: ChoiceDelta) -> [JSON]

  /// The choices of an answer given in one piece, after all steps.
  var whole: [JSON] { get }
}
