/// The `tokenizer.ggml.*` facts of a GGUF file, as plain values.
public struct GGUFVocabulary: Sendable {
  /// `tokenizer.ggml.model`: `gpt2`, `llama`, `t5`, `bert` or `gemma4`.
  public var model: String
  /// `tokenizer.ggml.pre`: the name of the pre-tokenizer; nil means `default`.
  public var pre: String?
  /// `tokenizer.ggml.tokens`: the spelling of each token.
  public var tokens: [String]
  /// `tokenizer.ggml.scores`: one for each token, or none.
  public var scores: [Float]
  /// `tokenizer.ggml.token_type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
  public var tokenTypes: [Int32]
  /// `tokenizer.ggml.merges`: two spellings with a space between them, by falling priority.
  public var merges: [String]
  /// `tokenizer.ggml.bos_token_id`, the token that begins a text.
  public var bos: TokenID?
  /// `tokenizer.ggml.eos_token_id`, the token that ends a text.
  public var eos: TokenID?
  /// `tokenizer.ggml.eot_token_id`, the token that ends a turn.
  public var eot: TokenID?
  /// `tokenizer.ggml.unknown_token_id`.
  public var unknown: TokenID?
  /// `tokenizer.ggml.seperator_token_id` (so spelt in the format).
  public var separator: TokenID?
  /// `tokenizer.ggml.padding_token_id`.
  public var padding: TokenID?
  /// `tokenizer.ggml.cls_token_id`, BERT's first token.
  public var classification: TokenID?
  /// `tokenizer.ggml.mask_token_id`.
  public var mask: TokenID?
  /// `tokenizer.ggml.add_bos_token`; nil means the family's custom.
  public var addBOS: Bool?
  /// `tokenizer.ggml.add_eos_token`; nil means the family's custom.
  public var addEOS: Bool?
  /// `tokenizer.ggml.add_space_prefix`; nil means the family's custom.
  public var addSpacePrefix: Bool?
  /// `tokenizer.ggml.remove_extra_whitespaces`; nil means no.
  public var removeExtraWhitespaces: Bool?
  /// `tokenizer.ggml.precompiled_charsmap`: SentencePiece's normalization table.
  public var precompiledCharsMap: [UInt8]
  /// `tokenizer.chat_template`.
  public var chatTemplate: String?

  /// A vocabulary of some tokens; everything else is set afterwards.
  public init(model: String, tokens: [String]) {
    self.model = model
    self.tokens = tokens
    scores = []
    tokenTypes = []
    merges = []
    precompiledCharsMap = []
  }
}
