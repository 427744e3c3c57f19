extension Vocabulary {
  static let mostTokens = 1 << 24

  /// The tokens of a GGUF file; spellings must differ and be of sane length.
  init(_ facts: GGUFVocabulary) throws(Tokenizer.LoadError) {
    let count = facts.tokens.count
    if !facts.tokenTypes.isEmpty, facts.tokenTypes.count != count {
      throw .countMismatch(
        list: "token types", expected: count, found: facts.tokenTypes.count)
    }
    let kinds =
      facts.tokenTypes.isEmpty
      ? [Kind](repeating: .normal, count: count)
      : facts.tokenTypes.map { UInt8(exactly: $0).flatMap(Kind.init(rawValue:)) ?? .unused }
    try self.init(spellings: facts.tokens, kinds: kinds)
  }

  /// Checks and files the spellings.
  init(spellings: [String], kinds: [Kind]) throws(Tokenizer.LoadError) {
    guard !spellings.isEmpty, spellings.count <= Self.mostTokens else {
      throw .tokenCount(spellings.count)
    }
    var pieces = PieceTable(reserving: spellings.count)
    for (index, spelling) in spellings.enumerated() {
      let id = TokenID(truncatingIfNeeded: index)
      let length = spelling.utf8.count
      if length > AddedTokens.longestSpelling {
        throw .tokenTooLong(id: id, bytes: length, limit: AddedTokens.longestSpelling)
      }
      if let first = pieces.append(spelling.utf8) {
        throw .duplicateToken(piece: spelling, first: first, second: id)
      }
    }
    self.init(pieces: pieces, kinds: kinds)
  }

  /// One finite score for each token.
  func scores(_ scores: [Float]) throws(Tokenizer.LoadError) -> [Float] {
    guard scores.count == count else {
      throw .countMismatch(list: "scores", expected: count, found: scores.count)
    }
    if let bad = scores.firstIndex(where: { !$0.isFinite }) {
      throw .badScore(id: TokenID(truncatingIfNeeded: bad))
    }
    return scores
  }

  /// Normal tokens decode through the byte alphabet, the others to their spelling.
  mutating func decodeByteLevel() {
    let pieces = pieces
    setBytes { id, kind in
      let spelling = pieces[id]
      guard kind == .normal || kind == .unused else { return Array(spelling) }
      return ByteAlphabet.decode(String(decoding: spelling, as: UTF8.self)) ?? Array(spelling)
    }
  }

  /// U+2581 decodes to a space, `<0x0A>` to its byte, special tokens to their spelling.
  mutating func decodeEscapedSpaces() {
    let pieces = pieces
    setBytes { id, kind in
      let spelling = pieces[id]
      switch kind {
      case .byte:
        return Self.fallbackByte(spelling).map { [$0] } ?? Array(spelling)
      case .control, .unknown: return Array(spelling)
      case .normal, .userDefined, .unused: return Self.unescaped(spelling)
      }
    }
  }

  static func unescaped(_ spelling: ArraySlice<UInt8>) -> [UInt8] {
    guard spelling.contains(0xe2) else { return Array(spelling) }
    var result: [UInt8] = []
    var i = spelling.startIndex
    while i < spelling.endIndex {
      if spelling[i] == 0xe2, spelling[i...].starts(with: [0xe2, 0x96, 0x81]) {
        result.append(0x20)
        i += 3
      } else {
        result.append(spelling[i])
        i += 1
      }
    }
    return result
  }

  /// The characters that U+2581 follows inside some text token.
  ///
  /// After any other character no merge crosses the beginning of a word, so words can be merged one
  /// by one.
  var charactersBeforeSpaces: CharacterSet {
    var values: Set<UInt32> = []
    for (index, kind) in kinds.enumerated() where kind == .normal || kind == .userDefined {
      let piece = pieces[TokenID(truncatingIfNeeded: index)]
      guard piece.dropFirst().contains(0xe2) else { continue }
      var last: UInt32 = 0x2581
      for scalar in String(decoding: piece, as: UTF8.self).unicodeScalars {
        if scalar.value == 0x2581, last != 0x2581 { values.insert(last) }
        last = scalar.value
      }
    }
    return CharacterSet(ranges: values.sorted().map { $0...$0 })
  }
}

extension PairTable {
  /// Merges written as two spellings with a space between.
  init(_ merges: [String], _ vocabulary: Vocabulary) throws(Tokenizer.LoadError) {
    self.init(reserving: merges.count)
    for (index, merge) in merges.enumerated() {
      let bytes = Array(merge.utf8)
      guard let space = bytes.dropFirst().firstIndex(of: 0x20), space + 1 < bytes.count else {
        throw .malformedMerge(index: index)
      }
      try insert(
        index: index, left: Array(bytes[..<space]), right: Array(bytes[(space + 1)...]), vocabulary)
    }
  }

  /// Records one merge; all three spellings must be tokens.
  mutating func insert(
    index: Int, left: [UInt8], right: [UInt8], _ vocabulary: Vocabulary
  ) throws(Tokenizer.LoadError) {
    func token(_ piece: [UInt8]) throws(Tokenizer.LoadError) -> TokenID {
      guard let id = vocabulary.pieces.find(piece) else {
        throw .mergeOfUnknownToken(index: index, piece: String(decoding: piece, as: UTF8.self))
      }
      return id
    }
    let leftID = try token(left)
    let rightID = try token(right)
    let result = try token(left + right)
    // Text must not merge into a control token.
    if vocabulary.kinds[Int(result)].isSpecial { return }
    insert(
      leftID, rightID, Merge(rank: Int32(truncatingIfNeeded: index), result: result))
  }
}

extension Tokenizer.SpecialTokens {
  /// The roles a GGUF file gives, each checked against the vocabulary.
  init(_ facts: GGUFVocabulary) throws(Tokenizer.LoadError) {
    func checked(_ name: String, _ id: TokenID?) throws(Tokenizer.LoadError) -> TokenID? {
      guard let id, id != -1 else { return nil }
      guard id >= 0, Int(id) < facts.tokens.count else {
        throw .idOutOfRange(name: name, id: Int64(id), count: facts.tokens.count)
      }
      return id
    }
    bos = try checked("bos_token_id", facts.bos)
    eos = try checked("eos_token_id", facts.eos)
    eot = try checked("eot_token_id", facts.eot)
    unknown = try checked("unknown_token_id", facts.unknown)
    separator = try checked("seperator_token_id", facts.separator)
    padding = try checked("padding_token_id", facts.padding)
    classification = try checked("cls_token_id", facts.classification)
    mask = try checked("mask_token_id", facts.mask)
  }
}

extension UnigramModel {
  init(
    _ vocabulary: Vocabulary, scores: [Float], _ byteTokens: [TokenID], unknown: TokenID?
  ) {
    var lowest: Float = 0
    var ids: [TokenID] = []
    var scores = scores
    for (index, kind) in vocabulary.kinds.enumerated() {
      switch kind {
      case .normal:
        lowest = ids.isEmpty ? scores[index] : min(lowest, scores[index])
        ids.append(TokenID(truncatingIfNeeded: index))
      case .userDefined:
        // Matched in the text beforehand; a match here is as good as any word.
        scores[index] = 0
        ids.append(TokenID(truncatingIfNeeded: index))
      case .unknown, .control, .unused, .byte: break
      }
    }
    self.init(
      scores: scores, pieces: SortedPieces(ids, of: vocabulary.pieces), byteTokens: byteTokens,
      unknown: unknown, unknownScore: lowest - 10)
  }
}
