/// Text to token ids and back.
///
/// Built from the metadata of a GGUF file or from a Hugging Face `tokenizer.json`. A value, safe to
/// share between threads; all work is done on the caller's stack.
public struct Tokenizer: Sendable {
  let storage: Storage

  init(_ storage: consuming Storage) { self.storage = storage }

  /// Everything the stages of encoding and decoding read; never changed after loading.
  final class Storage: Sendable {
    let vocabulary: Vocabulary
    let added: AddedTokens
    let text: TextRules
    let model: Model
    /// Placed around a text when special tokens are wanted.
    let prefix: [TokenID]
    let suffix: [TokenID]
    let special: SpecialTokens
    let endOfGeneration: Set<TokenID>
    let decoding: DecodingRules
    let chatTemplate: String?

    init(
      vocabulary: Vocabulary, added: AddedTokens, text: TextRules, model: Model,
      prefix: [TokenID], suffix: [TokenID], special: SpecialTokens,
      decoding: DecodingRules, chatTemplate: String?
    ) {
      self.vocabulary = vocabulary
      self.added = added
      self.text = text
      self.model = model
      self.prefix = prefix
      self.suffix = suffix
      self.special = special
      self.endOfGeneration = Self.endOfGeneration(vocabulary, special)
      self.decoding = decoding
      self.chatTemplate = chatTemplate
    }
  }

  /// The algorithm that turns words into tokens.
  enum Model: Sendable {
    case bytePair(BytePairModel)
    case scoredMerge(ScoredMergeModel)
    case unigram(UnigramModel)
    case wordPiece(WordPieceModel)
  }

  /// How text becomes words.
  struct TextRules: Sendable {
    /// Where a space is put before the text.
    enum SpacePrefix: Sendable {
      case never
      /// At the start, and after a token matched in the text (llama.cpp).
      case afterTokens
      /// At the start of the text only.
      case start
    }

    var normalizers: [Normalizer] = []
    var spacePrefix = SpacePrefix.never
    /// No prefix where the text begins with white space already.
    var prefixesOnlyWords = false
    /// U+0020 becomes U+2581 before the model sees it.
    var escapesSpaces = false
    var splitters: [Splitter] = []
  }

  /// How token bytes become text.
  struct DecodingRules: Sendable {
    /// One space at the very start belongs to the encoding, not to the text.
    var dropsLeadingSpace = false
  }

  /// The tokens with a role.
  struct SpecialTokens: Sendable {
    var bos: TokenID?
    var eos: TokenID?
    var eot: TokenID?
    var unknown: TokenID?
    var separator: TokenID?
    var padding: TokenID?
    var classification: TokenID?
    var mask: TokenID?
  }

  /// The number of tokens; ids are `0..<vocabularySize`.
  public var vocabularySize: Int { storage.vocabulary.count }

  /// The token that begins a text, if the vocabulary has one.
  public var bos: TokenID? { storage.special.bos }

  /// The token that ends a text, if the vocabulary has one.
  public var eos: TokenID? { storage.special.eos }

  /// The token for text that the vocabulary cannot spell, if it has one.
  public var unknown: TokenID? { storage.special.unknown }

  /// The token that fills unused places of a batch, if the vocabulary has one.
  public var padding: TokenID? { storage.special.padding }

  /// The tokens after which a model has nothing more to say: end of text, of turn, of message.
  public var endOfGeneration: Set<TokenID> { storage.endOfGeneration }

  /// The chat template that came with the vocabulary, as Jinja source.
  public var chatTemplate: String? { storage.chatTemplate }

  /// The token spelt exactly so in the vocabulary, special tokens included.
  public func tokenID(for piece: String) -> TokenID? { storage.vocabulary.pieces.find(piece) }

  /// The spelling of a token in the vocabulary, or nil for an id outside it.
  public func piece(of id: TokenID) -> String? {
    storage.vocabulary.contains(id) ? storage.vocabulary.piece(id) : nil
  }

  /// Whether a token is a control token, which plain text never becomes.
  public func isSpecial(_ id: TokenID) -> Bool {
    storage.vocabulary.contains(id) && storage.vocabulary.kinds[Int(id)].isSpecial
  }
}

extension Tokenizer.Storage {
  /// Spellings that end a turn or a text in the models of the world.
  static let endings: Set<String> = [
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
    "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
    "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<｜end▁of▁sentence｜>", "[e~[", "<|END_OF_TURN_TOKEN|>",
  ]

  fileprivate static func endOfGeneration(
    _ vocabulary: Vocabulary, _ special: Tokenizer.SpecialTokens
  ) -> Set<TokenID> {
    var result = Set([special.eos, special.eot].compactMap(\.self))
    for piece in endings {
      if let id = vocabulary.pieces.find(piece) { result.insert(id) }
    }
    // Where the model calls tools by <|call|> and ends by <|return|>, <|end|> only ends a message.
    if let call = vocabulary.pieces.find("<|call|>"), result.contains(call),
      vocabulary.pieces.find("<|return|>") != nil, let end = vocabulary.pieces.find("<|end|>")
    {
      result.remove(end)
    }
    return result
  }
}
