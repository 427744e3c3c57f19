public import Tokenizers

/// Makes text of one sequence's tokens, outside the engine's thread: whole characters, nothing of
/// what may become a stop string.
public struct TextAssembler: Sendable {
  /// Text that is certain, with the tokens that ended in it.
  public struct Piece: Sendable, Hashable {
    /// The text; empty where tokens have none.
    public var text: String
    /// The tokens whose text is now given out whole.
    public var tokens: [TokenOutput]
  }

  private var detokenizer: StreamingDetokenizer
  private var matcher: StopMatcher
  /// Tokens whose text is still held back, with where it ends in the text of all tokens.
  private var pending: [(token: TokenOutput, end: Int)] = []
  private var assembled = 0
  private var shown = 0

  /// The stop string that ended the text, once one was found: then the sequence is to be cancelled.
  public var stop: String? { matcher.match }

  /// - Parameters:
  ///   - tokenizer: The model's.
  ///   - stops: Strings that end the text and are not part of it.
  ///   - skipSpecial: Leave control tokens out of the text.
  ///   - continuing: The text goes on after a prompt, so a leading space belongs to it.
  public init(
    _ tokenizer: Tokenizer, stops: [String] = [], skipSpecial: Bool = true,
    continuing: Bool = false
  ) {
    detokenizer = StreamingDetokenizer(
      tokenizer, skipSpecial: skipSpecial, continuing: continuing)
    matcher = StopMatcher(stops)
  }

  /// Takes the next token and returns what is certain now.
  ///
  /// After a stop string nothing more comes.
  public mutating func append(_ token: TokenOutput) -> Piece {
    guard stop == nil else { return Piece(text: "", tokens: []) }
    let text = detokenizer.append(token.id)
    assembled += text.utf8.count
    // Of a character whose bytes are still coming, something is to be shown yet.
    pending.append((token, assembled + (detokenizer.isHolding ? 1 : 0)))
    return release(matcher.append(text))
  }

  /// What was still held back, at the end of the sequence.
  public mutating func finish() -> Piece {
    guard stop == nil else { return Piece(text: "", tokens: []) }
    let rest = detokenizer.finish()
    assembled += rest.utf8.count
    let text = matcher.append(rest) + matcher.finish()
    var piece = release(text)
    if stop == nil {
      piece.tokens += pending.map(\.token)
      pending = []
    }
    return piece
  }

  private mutating func release(_ text: String) -> Piece {
    shown += text.utf8.count
    let count = pending.prefix { $0.end <= shown }.count
    defer { pending.removeFirst(count) }
    return Piece(text: text, tokens: pending[..<count].map(\.token))
  }
}
