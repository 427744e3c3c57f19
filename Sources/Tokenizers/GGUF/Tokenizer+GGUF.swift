extension Tokenizer {
  /// A tokenizer from the metadata of a GGUF file.
  ///
  /// - Throws: `LoadError` for a family that is not implemented and for facts that contradict each
  ///   other; nothing in the vocabulary can trap.
  public init(_ facts: GGUFVocabulary) throws(LoadError) {
    var vocabulary = try Vocabulary(facts)
    let special = try SpecialTokens(facts)
    switch facts.model {
    case "gpt2", "gemma4":
      try self.init(bytePair: facts, &vocabulary, special)
    case "llama":
      try self.init(sentencePiece: facts, &vocabulary, special)
    case "t5": try self.init(unigram: facts, &vocabulary, special)
    case "bert": self.init(wordPiece: facts, &vocabulary, special)
    default: throw .unknownModel(facts.model)
    }
  }

  private init(
    bytePair facts: GGUFVocabulary, _ vocabulary: inout Vocabulary, _ special: SpecialTokens
  ) throws(LoadError) {
    let isByteLevel = facts.model == "gpt2"
    let pre = try PreTokenizer(named: isByteLevel ? facts.pre ?? "default" : "gemma4")
    for piece in Storage.endings {
      if let id = vocabulary.pieces.find(piece) { vocabulary.setKind(.control, of: id) }
    }
    let pairs = try PairTable(facts.merges, vocabulary)
    var model = BytePairModel(
      alphabet: isByteLevel ? .bytes : .characters, pairs: pairs,
      byteTokens: isByteLevel
        ? ByteAlphabet.scalars.map { vocabulary.textToken(Array(String($0).utf8)) ?? -1 }
        : vocabulary.byteFallbackTokens())
    model.ignoresMerges = pre.ignoresMerges
    model.unknown = special.unknown
    if isByteLevel { vocabulary.decodeByteLevel() } else { vocabulary.decodeEscapedSpaces() }
    var text = TextRules()
    text.escapesSpaces = !isByteLevel
    text.normalizers = pre.normalizers
    text.splitters = pre.splitters
    self.init(
      Storage(
        vocabulary: vocabulary, added: AddedTokens(vocabulary), text: text,
        model: .bytePair(model),
        prefix: facts.addBOS ?? (pre.addsBOS || !isByteLevel) ? special.bos.map { [$0] } ?? [] : [],
        suffix: facts.addEOS ?? false ? special.eos.map { [$0] } ?? [] : [],
        special: special, decoding: DecodingRules(), chatTemplate: facts.chatTemplate))
  }

  private init(
    sentencePiece facts: GGUFVocabulary, _ vocabulary: inout Vocabulary, _ special: SpecialTokens
  ) throws(LoadError) {
    let scores = try vocabulary.scores(facts.scores)
    let byteTokens = vocabulary.byteFallbackTokens()
    vocabulary.decodeEscapedSpaces()
    var text = TextRules()
    text.spacePrefix = facts.addSpacePrefix ?? true ? .afterTokens : .never
    text.escapesSpaces = true
    text.splitters = [.beforeEscapedSpaces(notAfter: vocabulary.charactersBeforeSpaces)]
    self.init(
      Storage(
        vocabulary: vocabulary, added: AddedTokens(vocabulary), text: text,
        model: .scoredMerge(
          ScoredMergeModel(
            ranks: ScoredMergeModel.ranks(scores), byteTokens: byteTokens,
            unknown: special.unknown, vocabulary: vocabulary)),
        prefix: facts.addBOS ?? true ? special.bos.map { [$0] } ?? [] : [],
        suffix: facts.addEOS ?? false ? special.eos.map { [$0] } ?? [] : [],
        special: special,
        decoding: DecodingRules(dropsLeadingSpace: text.spacePrefix != .never),
        chatTemplate: facts.chatTemplate))
  }

  private init(
    unigram facts: GGUFVocabulary, _ vocabulary: inout Vocabulary, _ special: SpecialTokens
  ) throws(LoadError) {
    let scores = try vocabulary.scores(facts.scores)
    let byteTokens = vocabulary.byteFallbackTokens()
    vocabulary.decodeEscapedSpaces()
    var text = TextRules()
    if !facts.precompiledCharsMap.isEmpty {
      text.normalizers.append(
        .characterMap(try CharacterMap(facts.precompiledCharsMap), byGrapheme: false))
    }
    if facts.removeExtraWhitespaces ?? false { text.normalizers.append(.removeExtraBlanks) }
    text.spacePrefix = facts.addSpacePrefix ?? true ? .afterTokens : .never
    text.escapesSpaces = true
    self.init(
      Storage(
        vocabulary: vocabulary, added: AddedTokens(vocabulary), text: text,
        model: .unigram(
          UnigramModel(vocabulary, scores: scores, byteTokens, unknown: special.unknown)),
        prefix: facts.addBOS ?? false ? special.bos.map { [$0] } ?? [] : [],
        suffix: facts.addEOS ?? true ? special.eos.map { [$0] } ?? [] : [],
        special: special,
        decoding: DecodingRules(dropsLeadingSpace: text.spacePrefix != .never),
        chatTemplate: facts.chatTemplate))
  }

  private init(
    wordPiece facts: GGUFVocabulary, _ vocabulary: inout Vocabulary, _ special: SpecialTokens
  ) {
    vocabulary.decodeEscapedSpaces()
    var text = TextRules()
    text.normalizers = [.bert(Normalizer.BERTRules())]
    text.splitters = [.dropping(.spaces), .groups(.bertPunctuation, limit: 1)]
    let first = special.classification ?? special.bos
    let last = special.separator ?? special.eos
    self.init(
      Storage(
        vocabulary: vocabulary, added: AddedTokens(vocabulary), text: text,
        model: .wordPiece(
          WordPieceModel(
            wordPrefix: Array("▁".utf8), continuationPrefix: [], unknown: special.unknown)),
        prefix: facts.addBOS ?? true ? first.map { [$0] } ?? [] : [],
        suffix: facts.addEOS ?? true ? last.map { [$0] } ?? [] : [],
        special: special, decoding: DecodingRules(dropsLeadingSpace: true),
        chatTemplate: facts.chatTemplate))
  }
}
