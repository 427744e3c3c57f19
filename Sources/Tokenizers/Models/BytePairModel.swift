/// Byte-pair encoding with a list of merges, over bytes or over characters.
struct BytePairModel: Sendable, MergeRules {
  /// What a word consists of before the first merge.
  enum Alphabet: Sendable {
    /// The 256 characters of `ByteAlphabet`.
    case bytes
    /// Characters; those the vocabulary lacks become byte tokens if it has them.
    case characters
  }

  var alphabet: Alphabet
  var pairs: PairTable
  /// The token of each byte, or −1.
  var byteTokens: [TokenID]
  /// A word that is a token is taken whole, whatever the merges say.
  var ignoresMerges = false
  var unknown: TokenID?
  /// Neighbouring unknown characters give one unknown token.
  var fusesUnknown = true

  func merge(_ left: MergeSymbol, _ right: MergeSymbol, _ bytes: [UInt8]) -> PairTable.Merge? {
    pairs.find(left.id, right.id)
  }

  func encode(
    _ bytes: [UInt8], _ range: Range<Int>, _ vocabulary: Vocabulary, _ engine: inout MergeEngine,
    into ids: inout [TokenID]
  ) {
    if ignoresMerges, let id = whole(bytes, range, vocabulary) {
      ids.append(id)
      return
    }
    engine.symbols.removeAll(keepingCapacity: true)
    switch alphabet {
    case .bytes:
      for i in range {
        engine.symbols.append(
          MergeSymbol(id: byteTokens[Int(bytes[i])], start: Int32(truncatingIfNeeded: i), length: 1)
        )
      }
    case .characters:
      var i = range.lowerBound
      while i < range.upperBound {
        let end = min(i + UTF8.length(leading: bytes[i]), range.upperBound)
        appendCharacter(bytes, i..<end, vocabulary, &engine.symbols)
        i = end
      }
    }
    engine.run(self, bytes)
    var lastUnknown = false
    for symbol in engine.symbols {
      if symbol.id >= 0 {
        ids.append(symbol.id)
      } else if let unknown, !(fusesUnknown && lastUnknown) {
        ids.append(unknown)
      }
      lastUnknown = symbol.id < 0
    }
  }

  private func whole(_ bytes: [UInt8], _ range: Range<Int>, _ vocabulary: Vocabulary) -> TokenID? {
    switch alphabet {
    case .bytes: vocabulary.textToken(ByteAlphabet.encode(bytes[range]))
    case .characters: vocabulary.textToken(bytes, range)
    }
  }

  private func appendCharacter(
    _ bytes: [UInt8], _ range: Range<Int>, _ vocabulary: Vocabulary, _ symbols: inout [MergeSymbol]
  ) {
    let start = Int32(truncatingIfNeeded: range.lowerBound)
    if let id = vocabulary.textToken(bytes, range) {
      symbols.append(MergeSymbol(id: id, start: start, length: Int32(range.count)))
    } else if range.allSatisfy({ byteTokens[Int(bytes[$0])] >= 0 }) {
      for i in range {
        symbols.append(
          MergeSymbol(id: byteTokens[Int(bytes[i])], start: Int32(truncatingIfNeeded: i), length: 1)
        )
      }
    } else {
      symbols.append(MergeSymbol(id: -1, start: start, length: Int32(range.count)))
    }
  }
}
