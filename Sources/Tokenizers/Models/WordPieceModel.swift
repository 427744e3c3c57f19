/// BERT's WordPiece: the longest token that begins a word, then the longest that continues it.
///
/// Devlin et al., *BERT*, arXiv 1810.04805; a word that cannot be covered is one unknown token.
struct WordPieceModel: Sendable {
  /// What the vocabulary writes before a token that begins a word.
  var wordPrefix: [UInt8]
  /// What it writes before a token that continues one.
  var continuationPrefix: [UInt8]
  var unknown: TokenID?
  /// Longer words, in characters, are unknown without looking.
  var longestWord = 100

  func encode(
    _ bytes: [UInt8], _ range: Range<Int>, _ vocabulary: Vocabulary, into ids: inout [TokenID]
  ) {
    let mark = ids.count
    var i = range.lowerBound
    var characters = 0
    for j in range where bytes[j] & 0xc0 != 0x80 { characters += 1 }
    if characters > longestWord { i = range.upperBound + 1 }
    while i < range.upperBound {
      let prefix = i == range.lowerBound ? wordPrefix : continuationPrefix
      let candidate = prefix + bytes[i..<range.upperBound]
      var length = min(candidate.count, vocabulary.pieces.longest)
      var found: TokenID?
      while length > prefix.count {
        found = vocabulary.textToken(candidate, 0..<length)
        if found != nil { break }
        length -= 1
      }
      guard let found else {
        i = range.upperBound + 1
        break
      }
      ids.append(found)
      i += length - prefix.count
    }
    if i > range.upperBound {
      ids.removeSubrange(mark...)
      if let unknown { ids.append(unknown) }
    }
  }
}
