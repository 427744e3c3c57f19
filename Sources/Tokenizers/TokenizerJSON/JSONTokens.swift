/// The tokens of a `tokenizer.json`: the model's vocabulary and the added tokens together.
struct JSONTokens {
  var vocabulary: Vocabulary
  var manners: [TokenID: AddedTokens.Manners] = [:]

  /// - Parameter vocabulary: spellings with their ids, as the model has them.
  init(_ entries: [(String, Int)], added: JSONReader?) throws(Tokenizer.LoadError) {
    var spellings: [Int: String] = [:]
    var kinds: [Int: Vocabulary.Kind] = [:]
    spellings.reserveCapacity(entries.count)
    func place(_ spelling: String, _ id: Int) throws(Tokenizer.LoadError) {
      guard (0..<Vocabulary.mostTokens).contains(id) else {
        throw .idOutOfRange(
          name: spelling.debugDescription, id: Int64(id), count: Vocabulary.mostTokens)
      }
      if let other = spellings.updateValue(spelling, forKey: id), other != spelling {
        throw .expected(
          "one spelling for id \(id), not both \(other.debugDescription) and "
            + spelling.debugDescription, at: "vocab")
      }
    }
    for (spelling, id) in entries { try place(spelling, id) }
    for token in try added?.items() ?? [] {
      let id = try token.member("id").integer()
      try place(try token.member("content").string(), id)
      kinds[id] = try token.flag("special", default: false) ? .control : .userDefined
      let manners = AddedTokens.Manners(
        stripsLeft: try token.flag("lstrip", default: false),
        stripsRight: try token.flag("rstrip", default: false),
        wholeWordsOnly: try token.flag("single_word", default: false))
      if manners != AddedTokens.Manners() {
        self.manners[TokenID(truncatingIfNeeded: id)] = manners
      }
    }
    let count = (spellings.keys.max() ?? -1) + 1
    guard count > 0, count <= 2 * spellings.count + 1024 else { throw .tokenCount(count) }
    var pieces = PieceTable(reserving: count)
    for id in 0..<count {
      // An id without a token has a spelling that no text has: not UTF-8.
      let spelling = spellings[id].map { Array($0.utf8) } ?? [0xff] + Array(String(id).utf8)
      if spelling.count > AddedTokens.longestSpelling {
        throw .tokenTooLong(
          id: TokenID(id), bytes: spelling.count, limit: AddedTokens.longestSpelling)
      }
      if let first = pieces.append(spelling) {
        throw .duplicateToken(piece: spellings[id] ?? "", first: first, second: TokenID(id))
      }
      if spellings[id] == nil { kinds[id] = .unused }
    }
    vocabulary = Vocabulary(pieces: pieces, kinds: (0..<count).map { kinds[$0] ?? .normal })
  }

  func id(_ spelling: JSONReader) throws(Tokenizer.LoadError) -> TokenID {
    guard let id = vocabulary.pieces.find(try spelling.string()) else {
      throw spelling.expected("the spelling of a token")
    }
    return id
  }
}
