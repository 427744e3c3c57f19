extension Tokenizer {
  /// Turns text into token ids.
  ///
  /// With `parseSpecial` false (the default) no part of the text ever becomes a control token,
  /// whatever it spells. User-defined tokens are ordinary text with a token of their own and always
  /// match.
  ///
  /// - Parameters:
  ///   - addSpecialTokens: put the vocabulary's beginning and end tokens around the text, where its
  ///     model was trained so.
  ///   - parseSpecial: let spellings of control tokens in the text become these tokens.
  /// - Complexity: O(n log n) in the length of the text.
  public func encode(
    _ text: String, addSpecialTokens: Bool = true, parseSpecial: Bool = false
  ) -> [TokenID] {
    var ids: [TokenID] = addSpecialTokens ? storage.prefix : []
    encode(Array(text.utf8), into: &ids) { _ in parseSpecial }
    if addSpecialTokens { ids.append(contentsOf: storage.suffix) }
    return ids
  }

  /// Encodes UTF-8; special tokens are parsed in the ranges of bytes that `allows` accepts.
  func encode(
    _ bytes: [UInt8], into ids: inout [TokenID], allows: (Range<Int>) -> Bool
  ) {
    var engine = MergeEngine()
    var start = 0
    while let match = storage.added.next(in: bytes, from: start, allows: allows) {
      let widened = storage.added.widened(match, in: bytes, from: start)
      encodePlain(bytes[start..<widened.lowerBound], first: start == 0, &engine, into: &ids)
      ids.append(match.id)
      start = widened.upperBound
    }
    encodePlain(bytes[start...], first: start == 0, &engine, into: &ids)
  }

  /// Longest run of text handled at once; offsets inside are 32-bit.
  private static let longestRun = 1 << 28

  private func encodePlain(
    _ bytes: ArraySlice<UInt8>, first: Bool, _ engine: inout MergeEngine, into ids: inout [TokenID]
  ) {
    if bytes.isEmpty { return }
    if bytes.count > Self.longestRun {
      var cut = bytes.startIndex + Self.longestRun
      while bytes[cut] & 0xc0 == 0x80 { cut -= 1 }
      encodePlain(bytes[..<cut], first: first, &engine, into: &ids)
      encodePlain(bytes[cut...], first: false, &engine, into: &ids)
      return
    }
    let text = prepare(String(decoding: bytes, as: UTF8.self), first: first)
    if storage.text.splitters.isEmpty {
      let bytes = Array(text.utf8)
      encodeWord(bytes, 0..<bytes.count, &engine, into: &ids)
    } else {
      let scalars = ScalarText(text)
      split(scalars, 0..<scalars.count, storage.text.splitters[...]) { word in
        encodeWord(scalars.bytes, scalars.byteRange(word), &engine, into: &ids)
      }
    }
  }

  /// Normalizes a run of text between two matched tokens and marks its spaces.
  private func prepare(_ text: String, first: Bool) -> String {
    let rules = storage.text
    var text = text
    for normalizer in rules.normalizers { text = normalizer.apply(text) }
    if text.isEmpty { return text }
    let wantsPrefix =
      switch rules.spacePrefix {
      case .never: false
      case .afterTokens: true
      case .start: first
      }
    if wantsPrefix, !(rules.prefixesOnlyWords && (text.utf8.first == 0x20 || text.hasPrefix("▁"))) {
      text = " " + text
    }
    if rules.escapesSpaces { text = Normalizer.replace(text, " ", "▁") }
    return text
  }

  private func split(
    _ text: ScalarText, _ range: Range<Int>, _ splitters: ArraySlice<Splitter>,
    _ body: (Range<Int>) -> Void
  ) {
    guard let splitter = splitters.first else {
      body(range)
      return
    }
    splitter.split(text, range) { split(text, $0, splitters.dropFirst(), body) }
  }

  private func encodeWord(
    _ bytes: [UInt8], _ range: Range<Int>, _ engine: inout MergeEngine, into ids: inout [TokenID]
  ) {
    if range.isEmpty { return }
    let vocabulary = storage.vocabulary
    switch storage.model {
    case .bytePair(let model): model.encode(bytes, range, vocabulary, &engine, into: &ids)
    case .scoredMerge(let model): model.encode(bytes, range, &engine, into: &ids)
    case .unigram(let model): model.encode(bytes, range, vocabulary, into: &ids)
    case .wordPiece(let model): model.encode(bytes, range, vocabulary, into: &ids)
    }
  }
}
