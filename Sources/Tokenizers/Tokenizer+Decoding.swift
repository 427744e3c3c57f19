extension Tokenizer {
  /// Turns token ids into text.
  ///
  /// Bytes that are not UTF-8 become U+FFFD; ids outside the vocabulary are left out.
  ///
  /// - Parameter skipSpecial: leave control tokens out of the text.
  public func decode(_ ids: some Sequence<TokenID>, skipSpecial: Bool = true) -> String {
    var bytes: [UInt8] = []
    for id in ids { appendBytes(of: id, skipSpecial: skipSpecial, to: &bytes) }
    if storage.decoding.dropsLeadingSpace, bytes.first == 0x20 { bytes.removeFirst() }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The bytes that one token stands for; empty for an id outside the vocabulary.
  ///
  /// They may be part of a character, and begin with the space before a word.
  public func bytes(of id: TokenID) -> [UInt8] {
    storage.vocabulary.contains(id) ? Array(storage.vocabulary.bytes(of: id)) : []
  }

  func appendBytes(of id: TokenID, skipSpecial: Bool, to bytes: inout [UInt8]) {
    let vocabulary = storage.vocabulary
    guard vocabulary.contains(id) else { return }
    if skipSpecial, vocabulary.kinds[Int(id)].isSpecial { return }
    bytes.append(contentsOf: vocabulary.bytes(of: id))
  }
}
