extension Tokenizer {
  /// A tokenizer from a Hugging Face `tokenizer.json`.
  ///
  /// - Parameters:
  ///   - tokenizerJSON: the file's bytes; anything may be in them.
  ///   - config: the bytes of `tokenizer_config.json`, for the roles of special tokens and the chat
  ///     template.
  /// - Throws: `LoadError` where the document is malformed or needs what is not implemented.
  public init(
    tokenizerJSON bytes: [UInt8], config: [UInt8]? = nil
  ) throws(LoadError) {
    let root = JSONReader(value: try JSON(loading: bytes), path: "")
    let configuration = JSONReader(
      value: try config.map { bytes throws(LoadError) in try JSON(loading: bytes) } ?? .object([]),
      path: "tokenizer_config")
    let json = try root.member("model")
    let kind = try Self.modelType(json)
    var tokens = try JSONTokens(
      try Self.entries(json, kind), added: root.optional("added_tokens"))
    let pipeline = try JSONPipeline(root, tokens)
    var special = try SpecialTokens(configuration, json, kind, tokens)
    if special.bos == nil { special.bos = pipeline.prefix.first }
    if let unknown = special.unknown, tokens.vocabulary.kinds[Int(unknown)] == .normal {
      tokens.vocabulary.setKind(.unknown, of: unknown)
    }
    var text = pipeline.text
    let model = try Self.model(json, kind, special, &tokens.vocabulary, pipeline, &text)
    self.init(
      Storage(
        vocabulary: tokens.vocabulary,
        added: AddedTokens(tokens.vocabulary, manners: tokens.manners), text: text, model: model,
        prefix: pipeline.prefix, suffix: pipeline.suffix, special: special,
        decoding: pipeline.decoding, chatTemplate: try Self.chatTemplate(configuration)))
  }

  enum ModelType { case bytePair, unigram, wordPiece }

  private static func modelType(_ json: JSONReader) throws(LoadError) -> ModelType {
    switch try json.optional("type")?.string() {
    case "BPE": return .bytePair
    case "Unigram": return .unigram
    case "WordPiece": return .wordPiece
    case nil:
      // Old files leave the type out.
      if json.optional("merges") != nil { return .bytePair }
      if json.optional("vocab")?.value.array != nil { return .unigram }
      return .wordPiece
    case .some(let name): throw .unknownModel(name)
    }
  }

  /// Spellings and ids of the model's own vocabulary.
  private static func entries(
    _ json: JSONReader, _ kind: ModelType
  ) throws(LoadError) -> [(String, Int)] {
    let vocabulary = try json.member("vocab")
    if kind == .unigram {
      guard let items = vocabulary.value.array else { throw vocabulary.expected("an array") }
      var result: [(String, Int)] = []
      for (id, item) in items.enumerated() {
        guard let pair = item.array, pair.count == 2, let spelling = pair[0].string else {
          throw .expected("a spelling and a score", at: "\(vocabulary.path)[\(id)]")
        }
        result.append((spelling, id))
      }
      return result
    }
    guard let members = vocabulary.value.members else { throw vocabulary.expected("an object") }
    var result: [(String, Int)] = []
    result.reserveCapacity(members.count)
    for member in members {
      guard let id = member.value.integer else {
        throw .expected("an id", at: "\(vocabulary.path)[\(member.name.debugDescription)]")
      }
      result.append((member.name, id))
    }
    return result
  }

  private static func model(
    _ json: JSONReader, _ kind: ModelType, _ special: SpecialTokens,
    _ vocabulary: inout Vocabulary, _ pipeline: JSONPipeline, _ text: inout TextRules
  ) throws(LoadError) -> Model {
    switch kind {
    case .bytePair:
      return .bytePair(try bytePair(json, special, &vocabulary, pipeline, &text))
    case .unigram:
      var scores: [Float] = []
      for (id, item) in (try json.member("vocab").value.array ?? []).enumerated() {
        guard let score = item.array?.last?.double else {
          throw .expected("a score", at: "model.vocab[\(id)]")
        }
        scores.append(Float(score))
      }
      scores += [Float](repeating: 0, count: max(0, vocabulary.count - scores.count))
      let bytes = try byteTokens(json, &vocabulary)
      vocabulary.decodeEscapedSpaces()
      return .unigram(
        UnigramModel(
          vocabulary, scores: try vocabulary.scores(scores), bytes, unknown: special.unknown))
    case .wordPiece:
      let continuation = try json.optional("continuing_subword_prefix")?.string() ?? "##"
      let longest = try json.optional("max_input_chars_per_word")?.integer() ?? 100
      vocabulary.decodeWordPieces(continuation: continuation, cleansUp: pipeline.cleansUp)
      return .wordPiece(
        WordPieceModel(
          wordPrefix: [], continuationPrefix: Array(continuation.utf8), unknown: special.unknown,
          longestWord: max(0, min(longest, 1000))))
    }
  }

  private static func bytePair(
    _ json: JSONReader, _ special: SpecialTokens, _ vocabulary: inout Vocabulary,
    _ pipeline: JSONPipeline, _ text: inout TextRules
  ) throws(LoadError) -> BytePairModel {
    for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let affix = json.optional(name), try !affix.string().isEmpty {
        throw affix.unsupported("a prefix or suffix of subwords")
      }
    }
    if let dropout = json.optional("dropout"), dropout.value.double != 0 {
      throw dropout.unsupported("dropout")
    }
    let list = try json.member("merges")
    guard let merges = list.value.array else { throw list.expected("an array") }
    var pairs = PairTable(reserving: merges.count)
    for (index, merge) in merges.enumerated() {
      let (left, right) = try sides(merge, index)
      try pairs.insert(index: index, left: left, right: right, vocabulary)
    }
    let bytes: [TokenID]
    if pipeline.isByteLevel {
      bytes = ByteAlphabet.scalars.map { vocabulary.textToken(Array(String($0).utf8)) ?? -1 }
      vocabulary.decodeByteLevel()
    } else {
      bytes = try byteTokens(json, &vocabulary)
      vocabulary.decodeEscapedSpaces()
      // Where no merge crosses a word's end, words can be merged one by one.
      if text.splitters.allSatisfy({ $0 == .afterEach(0x20) }) {
        text.splitters.append(.beforeEscapedSpaces(notAfter: vocabulary.charactersBeforeSpaces))
      }
    }
    var model = BytePairModel(
      alphabet: pipeline.isByteLevel ? .bytes : .characters, pairs: pairs, byteTokens: bytes)
    model.ignoresMerges = try json.flag("ignore_merges", default: false)
    model.unknown = special.unknown
    model.fusesUnknown = try json.flag("fuse_unk", default: false)
    return model
  }

  private static func sides(
    _ merge: JSON, _ index: Int
  ) throws(LoadError) -> (left: [UInt8], right: [UInt8]) {
    if let pair = merge.array {
      guard pair.count == 2, let left = pair[0].string, let right = pair[1].string else {
        throw .malformedMerge(index: index)
      }
      return (Array(left.utf8), Array(right.utf8))
    }
    guard let text = merge.string else { throw .malformedMerge(index: index) }
    let bytes = Array(text.utf8)
    guard let space = bytes.dropFirst().firstIndex(of: 0x20), space + 1 < bytes.count else {
      throw .malformedMerge(index: index)
    }
    return (Array(bytes[..<space]), Array(bytes[(space + 1)...]))
  }

  /// The byte tokens, if the model falls back to them; text never spells them.
  private static func byteTokens(
    _ json: JSONReader, _ vocabulary: inout Vocabulary
  ) throws(LoadError) -> [TokenID] {
    guard try json.flag("byte_fallback", default: false) else {
      return [TokenID](repeating: -1, count: 256)
    }
    let ids = vocabulary.byteFallbackTokens()
    for id in ids where id >= 0 && vocabulary.kinds[Int(id)] == .normal {
      vocabulary.setKind(.byte, of: id)
    }
    return ids
  }

  private static func chatTemplate(_ configuration: JSONReader) throws(LoadError) -> String? {
    guard let template = configuration.optional("chat_template") else { return nil }
    if let source = template.value.string { return source }
    for item in try template.items() where item.optional("name")?.value.string == "default" {
      return try item.member("template").string()
    }
    return nil
  }
}

extension Tokenizer.SpecialTokens {
  init(
    _ configuration: JSONReader, _ model: JSONReader, _ kind: Tokenizer.ModelType,
    _ tokens: JSONTokens
  ) throws(Tokenizer.LoadError) {
    func token(_ name: String) -> TokenID? {
      guard let value = configuration.value[name] else { return nil }
      return (value.string ?? value["content"]?.string).flatMap {
        tokens.vocabulary.pieces.find($0)
      }
    }
    bos = token("bos_token")
    eos = token("eos_token")
    unknown = token("unk_token")
    separator = token("sep_token")
    padding = token("pad_token")
    classification = token("cls_token")
    mask = token("mask_token")
    // What the model itself says about unknown text counts.
    if kind == .unigram {
      unknown = nil
      if let id = model.optional("unk_id") {
        let value = try id.integer()
        guard (0..<tokens.vocabulary.count).contains(value) else {
          throw .idOutOfRange(
            name: id.path, id: Int64(value), count: tokens.vocabulary.count)
        }
        unknown = TokenID(truncatingIfNeeded: value)
      }
    } else {
      unknown = try model.optional("unk_token").map { json throws(Tokenizer.LoadError) in
        try tokens.id(json)
      }
    }
  }
}

extension JSON {
  /// Reads a document; a fault is a load error.
  init(loading bytes: [UInt8]) throws(Tokenizer.LoadError) {
    do throws(ParseError) {
      self = try JSON(parsing: bytes)
    } catch {
      throw .json(error)
    }
  }
}

extension Vocabulary {
  /// A continuing piece decodes to itself without its mark, any other to a space and itself.
  mutating func decodeWordPieces(continuation: String, cleansUp: Bool) {
    let pieces = pieces
    let mark = Array(continuation.utf8)
    setBytes { id, _ in
      let spelling = pieces[id]
      var text: String
      if !mark.isEmpty, spelling.starts(with: mark) {
        text = String(decoding: spelling.dropFirst(mark.count), as: UTF8.self)
      } else {
        text = " " + String(decoding: spelling, as: UTF8.self)
      }
      if cleansUp {
        for (old, new) in [
          (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
          (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
        ] {
          text = Normalizer.replace(text, old, new)
        }
      }
      return Array(text.utf8)
    }
  }
}
