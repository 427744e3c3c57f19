/// SentencePiece's byte-pair encoding: any two neighbours whose joined spelling is a token may merge,
/// the best score first.
///
/// Kudo and Richardson, *SentencePiece*, arXiv 1808.06226.
struct ScoredMergeModel: Sendable, MergeRules {
  /// The place of each token when tokens are ordered by score; equal scores share a place.
  var ranks: [Int32]
  /// The token of each byte, or −1.
  var byteTokens: [TokenID]
  var unknown: TokenID?
  let vocabulary: Vocabulary

  func merge(_ left: MergeSymbol, _ right: MergeSymbol, _ bytes: [UInt8]) -> PairTable.Merge? {
    let start = Int(left.start)
    let range = start..<start + Int(left.length) + Int(right.length)
    guard let id = vocabulary.textToken(bytes, range) else { return nil }
    return PairTable.Merge(rank: ranks[Int(id)], result: id)
  }

  func encode(
    _ bytes: [UInt8], _ range: Range<Int>, _ engine: inout MergeEngine, into ids: inout [TokenID]
  ) {
    engine.symbols.removeAll(keepingCapacity: true)
    var i = range.lowerBound
    while i < range.upperBound {
      let end = min(i + UTF8.length(leading: bytes[i]), range.upperBound)
      engine.symbols.append(
        MergeSymbol(
          id: vocabulary.textToken(bytes, i..<end) ?? -1, start: Int32(truncatingIfNeeded: i),
          length: Int32(end - i)))
      i = end
    }
    engine.run(self, bytes)
    var lastUnknown = false
    for symbol in engine.symbols {
      let start = Int(symbol.start)
      if symbol.id >= 0 {
        ids.append(symbol.id)
        lastUnknown = false
      } else {
        lastUnknown = vocabulary.appendUnknown(
          bytes, start..<start + Int(symbol.length), byteTokens, unknown, after: lastUnknown,
          &ids)
      }
    }
  }

  /// Orders tokens by score, descending.
  static func ranks(_ scores: [Float]) -> [Int32] {
    let order = scores.indices.sorted { scores[$0] > scores[$1] }
    var ranks = [Int32](repeating: 0, count: scores.count)
    var place: Int32 = 0
    for (i, id) in order.enumerated() {
      if i > 0, scores[id] != scores[order[i - 1]] { place += 1 }
      ranks[id] = place
    }
    return ranks
  }
}

extension Vocabulary {
  /// Byte tokens for a run of text that is no token, or else one unknown token per run.
  ///
  /// The answer says whether an unknown token now ends `ids`.
  func appendUnknown(
    _ bytes: [UInt8], _ range: Range<Int>, _ byteTokens: [TokenID], _ unknown: TokenID?,
    after lastUnknown: Bool, _ ids: inout [TokenID]
  ) -> Bool {
    if range.allSatisfy({ byteTokens[Int(bytes[$0])] >= 0 }) {
      for i in range { ids.append(byteTokens[Int(bytes[i])]) }
      return false
    }
    if let unknown, !lastUnknown { ids.append(unknown) }
    return true
  }
}
