import Foundation

/// The stages of a `tokenizer.json` around its model.
struct JSONPipeline {
  var text = Tokenizer.TextRules()
  /// Words are bytes in GPT-2's alphabet.
  var isByteLevel = false
  var prefix: [TokenID] = []
  var suffix: [TokenID] = []
  var decoding = Tokenizer.DecodingRules()
  /// WordPiece decoding with the clean-up of spaces before punctuation.
  var cleansUp = false

  init(_ root: JSONReader, _ tokens: JSONTokens) throws(Tokenizer.LoadError) {
    if let normalizer = root.optional("normalizer") { try addNormalizer(normalizer) }
    if let splitter = root.optional("pre_tokenizer") { try addSplitter(splitter) }
    if let processor = root.optional("post_processor") { try addProcessor(processor, tokens) }
    if let decoder = root.optional("decoder") { try addDecoder(decoder) }
  }

  // MARK: Normalizers

  private mutating func addNormalizer(_ json: JSONReader) throws(Tokenizer.LoadError) {
    switch try json.type() {
    case "Sequence":
      for part in try json.member("normalizers").items() { try addNormalizer(part) }
    case "NFC": text.normalizers.append(.nfc)
    case "NFD": text.normalizers.append(.nfd)
    case "NFKC": text.normalizers.append(.nfkc)
    case "NFKD": text.normalizers.append(.nfkd)
    case "Lowercase": text.normalizers.append(.lowercase)
    case "StripAccents": text.normalizers.append(.stripAccents)
    case "Strip":
      text.normalizers.append(
        .strip(
          left: try json.flag("strip_left", default: true),
          right: try json.flag("strip_right", default: true)))
    case "Prepend":
      text.normalizers.append(.prepend(try json.member("prepend").string()))
    case "Replace":
      let pattern = try json.member("pattern")
      let content = try json.member("content").string()
      if let string = pattern.optional("String") {
        text.normalizers.append(.replace(try string.string(), with: content))
      } else if try pattern.member("Regex").string() == " {2,}" {
        text.normalizers.append(.collapseBlanks(into: content))
      } else {
        throw pattern.unsupported("this expression")
      }
    case "BertNormalizer":
      let lowercases = try json.flag("lowercase", default: true)
      text.normalizers.append(
        .bert(
          Normalizer.BERTRules(
            cleansText: try json.flag("clean_text", default: true),
            isolatesIdeographs: try json.flag("handle_chinese_chars", default: true),
            stripsAccents: try json.flag("strip_accents", default: lowercases),
            lowercases: lowercases)))
    case "Precompiled":
      let encoded = try json.member("precompiled_charsmap")
      guard let data = Data(base64Encoded: try encoded.string()) else {
        throw encoded.expected("Base64")
      }
      text.normalizers.append(.characterMap(try CharacterMap([UInt8](data)), byGrapheme: true))
    case let type: throw json.unsupported("normalizer \"\(type)\"")
    }
  }

  // MARK: Pre-tokenizers

  private mutating func addSplitter(_ json: JSONReader) throws(Tokenizer.LoadError) {
    switch try json.type() {
    case "Sequence":
      for part in try json.member("pretokenizers").items() { try addSplitter(part) }
    case "ByteLevel":
      isByteLevel = true
      if try json.flag("add_prefix_space", default: true) {
        guard text.splitters.isEmpty else {
          throw json.unsupported("add_prefix_space after another pre-tokenizer")
        }
        text.spacePrefix = .afterTokens
        text.prefixesOnlyWords = true
      }
      if try json.flag("use_regex", default: true) { text.splitters.append(.gpt2) }
    case "Split": text.splitters.append(try patternSplitter(json))
    case "Digits":
      let single = try json.flag("individual_digits", default: false)
      text.splitters.append(single ? .groups(.numbers, limit: 1) : .runs(.numbers))
    case "Punctuation":
      let behavior = try json.optional("behavior")?.string() ?? "Isolated"
      text.splitters.append(
        try setSplitter(.bertPunctuation, behavior.lowercased(), at: json))
    case "BertPreTokenizer":
      text.splitters += [.dropping(.spaces), .groups(.bertPunctuation, limit: 1)]
    case "WhitespaceSplit": text.splitters.append(.dropping(.spaces))
    case "Metaspace": try addMetaspace(json)
    case let type: throw json.unsupported("pre-tokenizer \"\(type)\"")
    }
  }

  private mutating func addMetaspace(_ json: JSONReader) throws(Tokenizer.LoadError) {
    guard try json.optional("replacement")?.string() ?? "▁" == "▁" else {
      throw json.unsupported("another replacement than U+2581")
    }
    text.escapesSpaces = true
    text.spacePrefix = try Self.prefixRule(json)
    text.prefixesOnlyWords = true
    if try json.flag("split", default: true) { text.splitters.append(.beforeEach(0x2581)) }
  }

  private static func prefixRule(
    _ json: JSONReader
  ) throws(Tokenizer.LoadError) -> Tokenizer.TextRules.SpacePrefix {
    let adds = try json.flag("add_prefix_space", default: true)
    guard let scheme = json.optional("prepend_scheme") else { return adds ? .afterTokens : .never }
    switch try scheme.string() {
    case "always": return .afterTokens
    case "first": return .start
    case "never": return .never
    default: throw scheme.expected("\"always\", \"first\" or \"never\"")
    }
  }

  private func patternSplitter(_ json: JSONReader) throws(Tokenizer.LoadError) -> Splitter {
    if try json.flag("invert", default: false) { throw json.unsupported("inverted splitting") }
    let behavior = try json.member("behavior").string().lowercased()
    let pattern = try json.member("pattern")
    if let string = pattern.optional("String") {
      let scalars = Array(try string.string().unicodeScalars)
      guard scalars.count == 1 else { throw string.unsupported("splitting at several characters") }
      let value = scalars[0].value
      switch behavior {
      case "mergedwithprevious": return .afterEach(value)
      case "mergedwithnext": return .beforeEach(value)
      default: return try setSplitter(CharacterSet(ranges: [value...value]), behavior, at: json)
      }
    }
    let expression = try pattern.member("Regex")
    guard let splitter = Splitter(pattern: try expression.string()) else {
      throw expression.unsupported("this expression")
    }
    switch (behavior, splitter) {
    case ("isolated", _): return splitter
    case ("removed", .groups(let set, _)), ("removed", .runs(let set)): return .dropping(set)
    // Every character matches these, so nothing is left to remove or merge.
    case ("removed", .gpt2), ("removed", .words), ("removed", .casedWords):
      throw json.unsupported("removing words")
    default: throw json.unsupported("behavior \"\(behavior)\" with this expression")
    }
  }

  private func setSplitter(
    _ set: CharacterSet, _ behavior: String, at json: JSONReader
  ) throws(Tokenizer.LoadError) -> Splitter {
    switch behavior {
    case "isolated": return .groups(set, limit: 1)
    case "contiguous": return .runs(set)
    case "removed": return .dropping(set)
    default: throw json.unsupported("behavior \"\(behavior)\"")
    }
  }

  // MARK: Post-processors

  private mutating func addProcessor(
    _ json: JSONReader, _ tokens: JSONTokens
  ) throws(Tokenizer.LoadError) {
    switch try json.type() {
    case "Sequence":
      for part in try json.member("processors").items() { try addProcessor(part, tokens) }
    case "ByteLevel": break
    case "TemplateProcessing":
      var sawText = false
      for part in try json.member("single").items() {
        if let special = part.optional("SpecialToken") {
          let id = try special.member("id")
          let token: TokenID
          if let known = try specialToken(try id.string(), json, tokens) {
            token = known
          } else {
            token = try tokens.id(id)
          }
          if sawText { suffix.append(token) } else { prefix.append(token) }
        } else {
          _ = try part.member("Sequence")
          sawText = true
        }
      }
    case "BertProcessing", "RobertaProcessing":
      prefix.append(try pairedToken(try json.member("cls"), tokens))
      suffix.append(try pairedToken(try json.member("sep"), tokens))
    case let type: throw json.unsupported("post-processor \"\(type)\"")
    }
  }

  private func specialToken(
    _ name: String, _ json: JSONReader, _ tokens: JSONTokens
  ) throws(Tokenizer.LoadError) -> TokenID? {
    guard let ids = json.optional("special_tokens")?.optional(name)?.optional("ids") else {
      return nil
    }
    guard let first = try ids.items().first else { throw ids.expected("an id") }
    return try checked(first, tokens)
  }

  private func pairedToken(
    _ json: JSONReader, _ tokens: JSONTokens
  ) throws(Tokenizer.LoadError) -> TokenID {
    let items = try json.items()
    guard items.count == 2 else { throw json.expected("a spelling and an id") }
    return try checked(items[1], tokens)
  }

  private func checked(
    _ json: JSONReader, _ tokens: JSONTokens
  ) throws(Tokenizer.LoadError) -> TokenID {
    let id = try json.integer()
    guard (0..<tokens.vocabulary.count).contains(id) else {
      throw .idOutOfRange(name: json.path, id: Int64(id), count: tokens.vocabulary.count)
    }
    return TokenID(truncatingIfNeeded: id)
  }

  // MARK: Decoders

  private mutating func addDecoder(_ json: JSONReader) throws(Tokenizer.LoadError) {
    switch try json.type() {
    case "Sequence":
      for part in try json.member("decoders").items() { try addDecoder(part) }
    case "ByteLevel", "ByteFallback", "Fuse": break
    case "Replace":
      guard try json.member("pattern").optional("String")?.string() == "▁",
        try json.member("content").string() == " "
      else { throw json.unsupported("replacing anything but U+2581 by a space") }
    case "Strip":
      guard try json.member("content").string() == " ", try json.member("start").integer() <= 1,
        try json.member("stop").integer() == 0
      else { throw json.unsupported("stripping more than one space at the start") }
      decoding.dropsLeadingSpace = try json.member("start").integer() == 1
    case "Metaspace": decoding.dropsLeadingSpace = try Self.prefixRule(json) != .never
    case "WordPiece":
      decoding.dropsLeadingSpace = true
      cleansUp = try json.flag("cleanup", default: true)
    case let type: throw json.unsupported("decoder \"\(type)\"")
    }
  }
}
